"""What beat starts. An audit that outlives its message is not begun a second time: it holds a lease."""

from celery import shared_task

from featurestore.privacy import audit, services

LONGEST_S = 3600


@shared_task(name="privacy.audit", acks_late=False, soft_time_limit=LONGEST_S, time_limit=LONGEST_S + 60)
def audit_consent() -> None:
    audit.audit()


@shared_task(name="privacy.prune")
def prune_audits() -> None:
    services.prune()
