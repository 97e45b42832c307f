"""What beat starts. Any number of workers may run them at once."""

from celery import shared_task

from featurestore.accesslog import consumer


@shared_task(name="accesslog.collect")
def collect_records() -> None:
    consumer.collect_waiting()


@shared_task(name="accesslog.forget")
def forget_records() -> None:
    consumer.prune()
