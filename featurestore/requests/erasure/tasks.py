"""Celery task of erasures. Of several messages at once, one process walks: it holds the job lease."""

from celery import shared_task

from featurestore.requests.erasure import walk


@shared_task(name="erasure.walk")
def walk_erasures() -> None:
    walk.walk_due()
