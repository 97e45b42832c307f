"""What beat starts. Any number of workers may run them at once."""

from celery import shared_task

from featurestore.access import collection, services


@shared_task(name="access.collect")
def collect_records() -> None:
    collection.collect_waiting()


@shared_task(name="access.forget")
def forget_records() -> None:
    collection.prune()


@shared_task(name="access.prune")
def prune_tokens() -> None:
    services.prune()
