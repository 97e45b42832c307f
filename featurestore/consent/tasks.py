"""Celery tasks of consent. Any number of workers may run them: they reserve rows, or lock the change sequence."""

from datetime import timedelta

from celery import shared_task

from featurestore.consent import services
from featurestore.consent.journal import appender, topic
from featurestore.consent.outbox import relay

BATCHES = 5  # of one call, so that other urgent tasks don't wait long: the next one continues
JOURNAL_DELAY = timedelta(seconds=5)
"""The store verifier's process appends within a second; a change that waits longer is left to the relay."""


@shared_task(name="consent.relay")
def relay_changes() -> None:
    relay.relay_due()
    if journal := topic.configured_journal():
        appender.append_due(journal, waiting=JOURNAL_DELAY)


@shared_task(name="consent.expire")
def expire() -> None:
    services.expire_due(batches=BATCHES)
    services.backfill_purposes(batches=BATCHES)


@shared_task(name="consent.prune")
def prune_changes() -> None:
    relay.prune()
