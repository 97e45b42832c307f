"""Celery tasks of audits. A message delivered twice starts no second audit: the first holds the job lease."""

from celery import shared_task

from featurestore.audit import consent_audit, services

LONGEST_S = 3600


@shared_task(name="audit.audit", acks_late=False, soft_time_limit=LONGEST_S, time_limit=LONGEST_S + 60)
def audit_consent() -> None:
    consent_audit.run_audit()


@shared_task(name="audit.prune")
def prune_audits() -> None:
    services.prune()
