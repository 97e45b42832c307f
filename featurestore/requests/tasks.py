"""Celery tasks of subject requests, started by beat. Any number of workers may run them at once."""

from celery import shared_task

from featurestore.clock import database_now
from featurestore.requests import services
from featurestore.requests.services import codes, erasure, messages, reminders
from featurestore.requests.set_backs import set_backs


@shared_task(name="requests.send_messages")
def send_messages() -> None:
    set_backs(database_now())
    services.send_codes()
    messages.deliver_due()


@shared_task(name="requests.remind")
def remind() -> None:
    reminders.remind()
    reminders.send_due()


@shared_task(name="requests.prune")
def prune() -> None:
    services.lapse_unverified()
    erasure.prune()
    codes.prune()
