"""Memory of a worker that finds a backlog of a million events.

The events are there before the worker starts; its memory is looked at until the last of them can be read. What waits in
the worker is bounded (``streams.partition_queues.FULL_QUEUE_RECORDS``), so its memory should not grow with the backlog.
"""

from bench.contestants.workers import Rapport, working
from bench.servers import BenchServers, by_partition, subjects_of
from bench.throughput import CUSTOMERS, at_once, purchases
from bench.waiting import wait_until


def measured(servers: BenchServers, events: int) -> dict[str, float]:
    """The worker's memory in MB while it folds a backlog: at its most, and at its half."""
    contestant, customers = Rapport(servers), subjects_of("customer", CUSTOMERS)
    last = by_partition(f"{contestant.topic}-last")
    servers.permit([*customers, *last])
    servers.send(contestant.topic, [*purchases(customers, events), *at_once(last, events)])
    took_mb: list[float] = []
    with working(contestant) as worker:

        def readable() -> bool:
            took_mb.append(worker.memory_info().rss / 1e6)
            return all(contestant.seen(last))

        wait_until("the last events are readable", readable, worker)
    return {
        "backlog_events": events,
        "backlog_peak_rss_mb": max(took_mb),
        "backlog_rss_mb_at_half": took_mb[len(took_mb) // 2],
    }
