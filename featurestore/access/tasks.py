"""Celery tasks, started by beat. Several workers may run them at once."""

from celery import shared_task

from featurestore.access import services


@shared_task(name="access.prune")
def prune_logins() -> None:
    services.prune()
