"""Celery tasks, started by beat. Several workers may run them at once."""

from celery import shared_task

from featurestore.logins import services


@shared_task(name="logins.prune")
def prune_login_events() -> None:
    services.prune()
