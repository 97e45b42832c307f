"""Celery tasks of dead letters, started by beat. Any number of workers may run them at once."""

import structlog
from celery import shared_task

from featurestore.ingest import services
from featurestore.ingest.errors import KafkaUnavailable

log = structlog.get_logger(__name__)


@shared_task(name="ingest.import_dead_letters")
def import_dead_letters() -> None:
    try:
        services.import_dead_letters()
    except KafkaUnavailable as error:
        log.warning("dead letters not read", reason=str(error))


@shared_task(name="ingest.prune_dead_letters")
def prune_dead_letters() -> None:
    services.prune()
    try:
        services.expire()
    except KafkaUnavailable as error:
        log.warning("dead letters not compared with Kafka", reason=str(error))
