"""Health: is the process alive, may it be sent requests, and what has it counted. For probes, without a key."""

from collections.abc import Callable, Mapping

import msgspec
import structlog
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from featurestore.accesslog import metrics as records
from featurestore.api.draining import drain_state
from featurestore.api.reply import Reply, encode
from featurestore.config import settings
from featurestore.ingest import metrics as dead_letter_metrics
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable

OK, AWAY, UNVOUCHED, DRAINING = "ok", "away", "not vouched for", "draining"
log = structlog.get_logger(__name__)


class Readiness(msgspec.Struct):
    """Whether requests can be answered, and each thing that it takes, in fixed words: "ok", or what is wrong."""

    ready: bool
    checks: dict[str, str]


def alive() -> Reply:
    """The process answers. Asks nobody else: a restart would not mend them."""
    return Reply(200, b'{"alive":true}')


def ready(checks: Mapping[str, Callable[[], str]]) -> Reply:
    """200 while requests can be answered, 503 otherwise. Anybody may ask: the reasons are in the log."""
    found = {name: check() for name, check in checks.items()}
    well = all(word == OK for word in found.values())
    return Reply(200 if well else 503, encode(Readiness(well, found)))


def counted() -> Reply:
    """Prometheus' text format. Keep it inside: it tells load, though nothing of customers."""
    return Reply(200, generate_latest(), CONTENT_TYPE_LATEST)


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return _shown(alive())


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    return _shown(ready(CHECKS))


def _shown(reply: Reply) -> HttpResponse:
    return HttpResponse(reply.body, status=reply.status, content_type=reply.media_type)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What this process has counted, and what the database and the control Redis tell any process."""
    dead_letter_metrics.measure()
    records.measure()
    return _shown(counted())


def database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("not ready: the database is away", error=str(error))
        return AWAY
    return OK


def store() -> str:
    try:
        nodes = configured.store().read([], [], [], settings().store_timeout_ms).nodes
    except StoreUnavailable as error:
        log.warning("not ready: the store is away", error=str(error))
        return AWAY
    vouched = sum(bool(node.incarnation) for node in nodes)
    if not vouched:
        log.warning(
            "not ready: nobody vouches for the store, so every read is denied. Is the store verifier running (manage.py verify_store)?"
        )
        return UNVOUCHED
    if vouched < len(nodes):
        log.warning("some of the store's nodes deny", vouched=vouched, nodes=len(nodes))
    return OK


def process() -> str:
    return DRAINING if drain_state.draining else OK


CHECKS: dict[str, Callable[[], str]] = {"process": process, "database": database, "store": store}
