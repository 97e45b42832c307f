"""Celery tasks of retention. Of several messages at once, one process works: it holds the job lease."""

from celery import shared_task

from featurestore.retention import evictions, runs


@shared_task(name="retention.evict")
def evict_idle_subjects() -> None:
    evictions.evict_due()


@shared_task(name="retention.apply")
def apply_retention_rules() -> None:
    runs.apply_due()
