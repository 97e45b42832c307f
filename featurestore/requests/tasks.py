"""Celery tasks of subject requests, started by beat. Any number of workers may run them at once."""

from celery import shared_task

from featurestore.requests import services


@shared_task(name="requests.prune")
def prune() -> None:
    services.lapse_unverified()
    services.prune_codes()
