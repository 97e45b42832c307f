"""Prometheus gauges of the audit log. They are read from the database, so every process reports the same."""

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.auditlog import selectors
from featurestore.clock import database_now
from featurestore.shared_metrics import SHARED, measured_every

ENTRIES = Gauge("rapport_audit_log_entries", "Entries of the audit log.", registry=SHARED)
UNSEQUENCED = Gauge(
    "rapport_audit_log_waiting_seconds", "Age of the oldest entry without an index; 0 without any.", registry=SHARED
)
UNSIGNED = Gauge(
    "rapport_audit_log_unsigned_seconds",
    "Time since the last tree head, while there are entries that none covers; 0 without any such.",
    registry=SHARED,
)
UNSENT = Gauge(
    "rapport_audit_log_unsent_seconds",
    "Time since the oldest tree head was signed that a place elsewhere lacks; 0 without any such.",
    registry=SHARED,
)
FINDINGS = Gauge(
    "rapport_audit_log_findings",
    "What the last verification of the audit log found; -1 if it ended early.",
    registry=SHARED,
)
UNKNOWN = float("nan")
log = structlog.get_logger(__name__)


@measured_every(15)
def measure() -> None:
    """Update the gauges. Without the database they are NaN."""
    entries = waiting_s = unsigned_s = unsent_s = findings = UNKNOWN
    try:
        state, now = selectors.log_state(), database_now()
        entries = float(state.entries)
        waiting_s = (now - state.waiting_since).total_seconds() if state.waiting_since else 0.0
        unsigned_s = (now - state.signed_at).total_seconds() if state.signed_at else float("inf")
        unsigned_s = unsigned_s if state.unsigned else 0.0
        unsent = selectors.unsent_since()
        unsent_s = (now - unsent).total_seconds() if unsent else 0.0
        verified = selectors.last_verification()
        findings = 0.0 if verified is None else -1.0 if verified.error else float(verified.found)
    except DatabaseError as error:
        log.warning("audit log not measured: the database is unavailable", error=str(error))
    ENTRIES.set(entries)
    UNSEQUENCED.set(waiting_s)
    UNSIGNED.set(unsigned_s)
    UNSENT.set(unsent_s)
    FINDINGS.set(findings)
