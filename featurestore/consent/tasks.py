"""Celery tasks of consent. Any number of workers may run them: they reserve rows, or lock the change sequence."""

from celery import shared_task

from featurestore.consent import services
from featurestore.consent.outbox import relay


@shared_task(name="consent.relay")
def relay_changes() -> None:
    relay.relay_due()


@shared_task(name="consent.expire")
def expire() -> None:
    services.expire_due()
    services.backfill_purposes()


@shared_task(name="consent.prune")
def prune_changes() -> None:
    relay.prune()
