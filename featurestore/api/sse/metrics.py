"""What Prometheus counts of event streams."""

from prometheus_client import Counter, Gauge, Histogram

from featurestore.api.metrics import BUCKETS_S

OPEN = Gauge("rapport_sse_streams", "Event streams that are open.")
EVENTS = Counter("rapport_sse_events", "Events sent, by name.", ["event"])
COALESCED = Counter("rapport_sse_coalesced", "Changes that were told together with an earlier one.")
CLOSED = Counter("rapport_sse_closed", "Event streams that ended, by reason.", ["reason"])
SECONDS = Histogram("rapport_sse_seconds", "Seconds from the word of a change to its answer.", buckets=BUCKETS_S)
