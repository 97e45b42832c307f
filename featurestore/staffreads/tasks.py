"""Celery task, started by beat."""

from celery import shared_task

from featurestore.staffreads import services


@shared_task(name="staffreads.prune")
def prune_emergency_accesses() -> None:
    services.prune()
