"""Metrics of a worker, for Prometheus, and a Faust monitor that costs nothing a message."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from faust.sensors.base import Sensor
from faust.types import TP
from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

EVENTS = Counter("rapport_stream_events", "Events processed, whatever their outcome.", ["source"])
SKIPPED = Counter("rapport_stream_skipped", "Events of a replay, applied before.", ["source"])
LATE = Counter("rapport_stream_late", "Events older than the newest counted one of their view.", ["source"])
EXPIRED = Counter("rapport_stream_expired", "Events older than a view's longest window, dropped by it.", ["source"])
DUPLICATE = Counter("rapport_stream_duplicate", "Events whose id counted already.", ["source"])
DENIED = Counter(
    "rapport_stream_denied",
    "Events that no view may count: not allowed, or before the permission's start or the view's coverage start.",
    ["source"],
)
NO_PERMISSION = Counter(
    "rapport_stream_no_permission", "Events skipped because the store has no permission of their subject.", ["source"]
)
UNCHECKED = Counter("rapport_stream_unchecked", "Events too old to be checked for duplicates; they count.", ["source"])
CUT = Counter("rapport_stream_cut", "Times that a view of a subject was cut, to stay within its bytes.", ["source"])
OUTCOMES = {
    "events": EVENTS,
    "skipped": SKIPPED,
    "late": LATE,
    "expired": EXPIRED,
    "duplicate": DUPLICATE,
    "denied": DENIED,
    "no_permission": NO_PERMISSION,
    "unchecked": UNCHECKED,
    "cut": CUT,
}
DEAD_LETTERS = Counter("rapport_stream_dead_letters", "Events quarantined.", ["topic", "reason"])
COMPACTIONS = Counter(
    "rapport_stream_compactions", "Partitions of state tables whose files were rewritten after a purge."
)
RECREATED = Counter(
    "rapport_stream_recreated_subjects",
    "Subjects pushed to the store again because it had had no permission of them.",
)
RESTORED = Counter(
    "rapport_stream_restored_subjects",
    "Idle subjects whose values were pushed to the store again because they were read or had an event.",
)
NOT_PUSHED = Counter(
    "rapport_stream_idle_subjects",
    "Idle subjects whose values were not pushed to a store that had lost them. They are, when they are read.",
)
REFUSED = Gauge("rapport_stream_refused_topics", "1 while the worker refuses topics that were made anew or shrank.")
PARTITION_PURGED = Counter(
    "rapport_stream_partition_purged_subjects", "Subjects purged because purges may have been lost."
)
UNREAD = Counter("rapport_stream_unread_records", "Records that retention deleted before they were read.", ["topic"])
REREAD = Counter("rapport_stream_reread", "Fetch batches that were lost, as in a rebalance, and read again.", ["topic"])
LAG = Gauge("rapport_stream_lag", "Events of a partition not folded yet.", ["topic", "partition"])
WAITING = Gauge("rapport_stream_waiting_records", "Fetched events that wait to be folded.")
COMMITTED = Gauge("rapport_stream_committed_offset", "Committed offset.", ["topic", "partition"])
RECOVERED = Counter("rapport_stream_recovered_records", "Changelog records read to recover a table.", ["table"])
REPUBLISHING = Gauge("rapport_stream_republishing", "Partitions whose values are being pushed to the store again.")
REPUBLISHED = Counter("rapport_stream_republished_fields", "Fields pushed to the store again.", ["source"])
RECOVERY_REMAINING = Gauge("rapport_stream_recovery_remaining_records", "Changelog records still to read.")
REBALANCES = Counter("rapport_stream_rebalances", "Assignments of partitions to this worker.")
CLOCK_SKEW = Gauge(
    "rapport_stream_clock_skew_seconds", "How far the worker's clock is ahead of the brokers', at worst."
)


class EventToServedHistogram(Collector):
    """Histogram that takes a whole fetch batch at once: one observation an event would cost a twentieth of a fold."""

    BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)

    def __init__(self) -> None:
        self._within = [0] * (len(self.BUCKETS_S) + 1)
        self._sum_s = 0.0

    def observe(self, now_ms: int, timestamps_ms: Sequence[int]) -> None:
        """Events of these Kafka timestamps, ascending, are readable now."""
        for i, bound_s in enumerate(self.BUCKETS_S):
            self._within[i] += len(timestamps_ms) - bisect_left(timestamps_ms, now_ms - bound_s * 1000)
        self._within[-1] += len(timestamps_ms)
        self._sum_s += (now_ms * len(timestamps_ms) - sum(timestamps_ms)) / 1000

    def collect(self) -> Iterator[Metric]:
        bounds = [*map(str, map(float, self.BUCKETS_S)), "+Inf"]
        yield HistogramMetricFamily(
            "rapport_stream_event_to_served_seconds",
            "From the event's Kafka timestamp to its value in the online store.",
            buckets=list(zip(bounds, map(float, self._within), strict=True)),
            sum_value=self._sum_s,
        )


EVENT_TO_SERVED = EventToServedHistogram()
REGISTRY.register(EVENT_TO_SERVED)


class Monitor(Sensor):
    """Monitor that measures commits only; Faust's own keeps histories of every message, stream and table."""

    def track_tp_end_offset(self, tp: TP, offset: int) -> None:
        """Lag is measured by ``streams.freshness``, for idle partitions too."""

    def on_tp_commit(self, tp_offsets: Mapping[TP, int]) -> None:
        for (topic, partition), offset in tp_offsets.items():
            COMMITTED.labels(topic, partition).set(offset)
