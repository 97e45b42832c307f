"""Celery tasks, started by beat. Several workers may run them at once."""

from celery import shared_task

from featurestore.accesslog import consumer


@shared_task(name="accesslog.consume")
def consume_stream() -> None:
    consumer.consume_pending()


@shared_task(name="accesslog.prune")
def prune_records() -> None:
    consumer.prune()
