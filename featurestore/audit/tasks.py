"""What beat starts. An audit that outlives its message is not begun a second time: it holds a lease."""

from celery import shared_task

from featurestore.audit import run, services

LONGEST_S = 3600


@shared_task(name="audit.audit", acks_late=False, soft_time_limit=LONGEST_S, time_limit=LONGEST_S + 60)
def audit_consent() -> None:
    run.audit()


@shared_task(name="audit.prune")
def prune_audits() -> None:
    services.prune()
