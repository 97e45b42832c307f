"""Prometheus gauges of evictions and of the store's memory. Every process that is scraped reports the same."""

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.retention.selectors import last_eviction, store_memory
from featurestore.shared_metrics import SHARED, measured_every

MEMORY = Gauge("rapport_store_memory_bytes", "Memory that a node of the store uses.", ["node"], registry=SHARED)
LIMIT = Gauge(
    "rapport_store_memory_limit_bytes",
    "Memory that a node of the store may use (maxmemory); 0: it has no limit.",
    ["node"],
    registry=SHARED,
)
EVICTED = Gauge("rapport_evicted_subjects", "Subjects that the last eviction run evicted.", registry=SHARED)
FREED = Gauge("rapport_evicted_bytes", "Bytes of the values that the last eviction run deleted.", registry=SHARED)
AGE = Gauge(
    "rapport_eviction_age_seconds",
    "Time since the last eviction run ended; NaN before the first, and if idle subjects are not evicted.",
    registry=SHARED,
)
UNKNOWN = float("nan")

log = structlog.get_logger(__name__)


@measured_every(15)
def measure() -> None:
    """Update the gauges, unless they are recent. What can't be read is NaN, or of a node absent."""
    for gauge in (MEMORY, LIMIT):
        gauge.clear()
    for node, memory in store_memory().items():
        MEMORY.labels(node or "store").set(memory.used_bytes)
        LIMIT.labels(node or "store").set(memory.limit_bytes)
    for gauge in (EVICTED, FREED, AGE):
        gauge.set(UNKNOWN)
    try:
        if (run := last_eviction()) is not None and run.finished_at is not None:
            EVICTED.set(run.evicted)
            FREED.set(run.freed_bytes)
            if settings().idle_subject_days:
                AGE.set((database_now() - run.finished_at).total_seconds())
    except DatabaseError as error:
        log.warning("evictions not measured: the database is unavailable", error=str(error))
