"""Prometheus metrics of event streams."""

from prometheus_client import Counter, Gauge, Histogram

from featurestore.api.metrics import BUCKETS_S

OPEN = Gauge("rapport_sse_streams", "Open event streams.")
EVENTS = Counter("rapport_sse_events", "Events sent, by name.", ["event"])
COALESCED = Counter("rapport_sse_coalesced", "Changes that one event covered together with an earlier change.")
CLOSED = Counter("rapport_sse_closed", "Event streams that ended, by reason.", ["reason"])
SECONDS = Histogram(
    "rapport_sse_seconds", "Seconds from the notification of a change to its answer.", buckets=BUCKETS_S
)
