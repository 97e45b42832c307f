"""Celery tasks of exports. A message delivered twice works no second time: the first holds the job lease."""

from celery import shared_task

from featurestore.requests.export import expiry, work

LONGEST_S = 3600


@shared_task(name="exports.advance", acks_late=False, soft_time_limit=LONGEST_S, time_limit=LONGEST_S + 60)
def advance_exports() -> None:
    work.advance()


@shared_task(name="exports.expire")
def end_overdue_exports() -> None:
    expiry.end_overdue()
