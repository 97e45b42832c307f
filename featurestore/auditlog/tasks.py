"""Celery task of the audit log, started by beat. Any number of workers may run it at once."""

from celery import shared_task

from featurestore.auditlog import services


@shared_task(name="auditlog.sequence")
def sequence() -> None:
    services.sequence_due()
    services.sign_due()
