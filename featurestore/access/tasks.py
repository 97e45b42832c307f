"""What beat starts. Any number of workers may run them at once."""

import structlog
from celery import shared_task

from featurestore.access import collection, services
from featurestore.access.stream import StreamAway, opened

log = structlog.get_logger(__name__)


@shared_task(name="access.collect")
def collect_records() -> None:
    try:
        with opened() as stream:
            collection.collect(stream)
    except StreamAway as error:
        log.warning("access records not collected", reason=str(error))


@shared_task(name="access.forget")
def forget_records() -> None:
    collection.prune()


@shared_task(name="access.prune")
def prune_tokens() -> None:
    services.prune()
