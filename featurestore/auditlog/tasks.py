"""Celery tasks of the audit log, started by beat. Any number of workers may run them at once."""

from celery import shared_task

from featurestore.auditlog import services

LONGEST_S = 3600


@shared_task(name="auditlog.sequence")
def sequence() -> None:
    services.sequence_due()
    services.sign_due()


@shared_task(name="auditlog.send_heads")
def send_heads() -> None:
    services.send_heads()


@shared_task(name="auditlog.verify", acks_late=False, soft_time_limit=LONGEST_S, time_limit=LONGEST_S + 60)
def verify() -> None:
    services.verify_due()


@shared_task(name="auditlog.prune")
def prune() -> None:
    services.prune()
