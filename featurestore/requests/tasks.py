"""Celery tasks of subject requests, started by beat. Any number of workers may run them at once."""

from celery import shared_task

from featurestore.requests import services
from featurestore.requests.services import codes, messages, reminders


@shared_task(name="requests.send_messages")
def send_messages() -> None:
    services.send_codes()
    messages.deliver_due()


@shared_task(name="requests.remind")
def remind() -> None:
    reminders.remind()
    reminders.send_due()


@shared_task(name="requests.prune")
def prune() -> None:
    services.lapse_unverified()
    codes.prune()
