"""Health pages for probes, without a key: liveness, readiness, metrics."""

from collections.abc import Callable, Mapping

import msgspec
import structlog
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from featurestore.accesslog import metrics as records
from featurestore.api.django_adapter import respond_to
from featurestore.api.draining import drain_state
from featurestore.api.errors import Unavailable
from featurestore.api.migrations import unapplied_migrations
from featurestore.api.process_metrics import process_metrics
from featurestore.api.recent_reply import RecentReply
from featurestore.api.reply import Call, Reply, encode
from featurestore.auditlog import metrics as audit_log_metrics
from featurestore.config import settings
from featurestore.consent import metrics as consent_metrics
from featurestore.consent.journal import metrics as journal_metrics
from featurestore.ingest import metrics as dead_letter_metrics
from featurestore.requests import metrics as request_metrics
from featurestore.requests.erasure import metrics as erasure_metrics
from featurestore.retention import metrics as retention_metrics
from featurestore.shared_metrics import SHARED
from featurestore.staffreads import metrics as staff_read_metrics
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable

OK, UNAVAILABLE, UNVOUCHED, DRAINING, UNMIGRATED = "ok", "unavailable", "not vouched for", "draining", "not migrated"
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


def readiness(recent: RecentReply) -> Reply:
    """The recent readiness; at once 503 while the process drains."""
    return ready({"process": process}) if drain_state.draining else recent.get()


def own_metrics() -> Reply:
    """Metrics of the processes behind this port. For the internal network: they reveal load, no customers."""
    return Reply(200, process_metrics(), CONTENT_TYPE_LATEST)


def all_metrics() -> Reply:
    """Metrics of the processes behind this port, and gauges of the database and the control Redis."""
    audit_log_metrics.measure()
    consent_metrics.measure()
    dead_letter_metrics.measure()
    erasure_metrics.measure()
    journal_metrics.measure()
    records.measure()
    request_metrics.measure()
    retention_metrics.measure()
    staff_read_metrics.measure()
    return Reply(200, generate_latest(SHARED) + process_metrics(), CONTENT_TYPE_LATEST)


def database() -> str:
    """Whether the database answers and has every table: before `manage.py migrate` no request can be answered."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        missing = unapplied_migrations()
    except DatabaseError as error:
        log.warning("not ready: the database does not answer", error=str(error))
        return UNAVAILABLE
    if missing:
        log.warning("not ready: run `manage.py migrate`", unapplied=missing[:10], number=len(missing))
        return UNMIGRATED
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
READY, METRICS = RecentReply(lambda: ready(CHECKS)), RecentReply(all_metrics)


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return _response(alive())


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    return _recent(request, lambda: readiness(READY))


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    return _recent(request, METRICS.get)


def _recent(request: HttpRequest, page: Callable[[], Reply]) -> HttpResponse:
    """A page, or the problem that it is not made yet."""
    try:
        return _response(page())
    except Unavailable as error:
        problem = error

    def refuse(call: Call) -> Reply:
        raise problem

    return respond_to(request, refuse, "public")


def _response(reply: Reply) -> HttpResponse:
    headers = {"Cache-Control": "no-store"}
    response = HttpResponse(reply.body, status=reply.status, content_type=reply.media_type, headers=headers)
    response._has_been_logged = True  # type: ignore[attr-defined]  # with the reason; Django would add an error a probe
    return response
