"""Health pages for probes, without a key: liveness, readiness, metrics."""

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
from featurestore.consent import metrics as consent_metrics
from featurestore.consent.journal import metrics as journal_metrics
from featurestore.ingest import metrics as dead_letter_metrics
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable

OK, UNAVAILABLE, UNVOUCHED, DRAINING = "ok", "unavailable", "not vouched for", "draining"
log = structlog.get_logger(__name__)


class Readiness(msgspec.Struct):
    """Whether requests can be answered, and the state of each part they need: "ok", or one of a few fixed texts."""

    ready: bool
    checks: dict[str, str]


def alive() -> Reply:
    """200. Checks no other server: a restart of this process would not repair it."""
    return Reply(200, b'{"alive":true}')


def ready(checks: Mapping[str, Callable[[], str]]) -> Reply:
    """200 while requests can be answered, else 503. The page is public: reasons are logged, not answered."""
    found = {name: check() for name, check in checks.items()}
    all_ok = all(state == OK for state in found.values())
    return Reply(200 if all_ok else 503, encode(Readiness(all_ok, found)))


def process_metrics() -> Reply:
    """The process's metrics in Prometheus' text format. For the internal network: they reveal load, no customers."""
    return Reply(200, generate_latest(), CONTENT_TYPE_LATEST)


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return _response(alive())


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    return _response(ready(CHECKS))


def _response(reply: Reply) -> HttpResponse:
    return HttpResponse(reply.body, status=reply.status, content_type=reply.media_type)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Metrics of this process, and gauges of the database and the control Redis."""
    consent_metrics.measure()
    dead_letter_metrics.measure()
    journal_metrics.measure()
    records.measure()
    return _response(process_metrics())


def database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("not ready: the database does not answer", error=str(error))
        return UNAVAILABLE
    return OK


def store() -> str:
    try:
        nodes = configured.store().read([], [], [], settings().store_timeout_ms).nodes
    except StoreUnavailable as error:
        log.warning("not ready: the store does not answer", error=str(error))
        return UNAVAILABLE
    vouched = sum(bool(node.incarnation) for node in nodes)
    if not vouched:
        log.warning("not ready: the store is not vouched for, every read is denied. Start manage.py verify_store")
        return UNVOUCHED
    if vouched < len(nodes):
        log.warning(
            "some nodes of the store are not vouched for: their reads are denied", vouched=vouched, nodes=len(nodes)
        )
    return OK


def process() -> str:
    return DRAINING if drain_state.draining else OK


CHECKS: dict[str, Callable[[], str]] = {"process": process, "database": database, "store": store}
