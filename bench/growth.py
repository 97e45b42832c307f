"""Figures of our worker by its number of customers, from a thousand to a million.

One worker goes on from size to size: first every new customer buys once, unmeasured; then purchases of customers drawn
from all of them are measured.
"""

import random
import time
from datetime import UTC, datetime

from psutil import Process

from bench.contestants.workers import Contestant, Rapport, working
from bench.event_sender import sending, stamps
from bench.servers import PARTITIONS, BenchServers, by_partition, record, subjects_of
from bench.sizes import memory_bytes
from bench.throughput import at_once
from bench.waiting import wait_until

SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1m": 1_000_000}
SLICE = 40_000
ENTERING = 100_000  # new customers' events in memory at once
WEIGHED = 1_000
ENTERED_S = 900


def measured(servers: BenchServers, scale: int = 1) -> dict[str, float]:
    """Figures by size; ``scale`` divides the sizes and the slices."""
    contestant, figures = Rapport(servers), dict[str, float]()
    customers = subjects_of("grown", max(SIZES.values()) // scale)
    drawn, there = random.Random(1), 0
    with working(contestant) as worker:
        for label, whole in SIZES.items():
            size = whole // scale
            entered = by_partition(f"entered-{label}")
            for start in range(there, size, ENTERING):
                enter(contestant, customers[start : min(start + ENTERING, size)], start)
            enter(contestant, entered, size)
            wait_until("all bought once", lambda them=entered: all(contestant.seen(them)), worker, ENTERED_S)
            there = size

            last, now = by_partition(f"last-{label}"), datetime.now(UTC)
            servers.permit(last)
            chosen = drawn.choices(customers[:there], k=SLICE // scale)
            records = [record(subject, 10**9 * there + i, now) for i, subject in enumerate([*chosen, *last])]
            sent, changelog_bytes = stamps(len(records)), contestant.changelog_bytes()
            with sending(servers.broker.bootstrap, contestant.topic, records, sent):
                ended = wait_until("the drawn bought", lambda them=last: all(contestant.seen(them)), worker)
            sample = drawn.sample(customers[:there], min(WEIGHED, there))
            taken = {
                "events_per_s_core": len(records) / (ended - sent[0]),
                "changelog_bytes_per_event": (contestant.changelog_bytes() - changelog_bytes) / len(records),
                "redis_bytes_per_customer": memory_bytes(servers.redis, sample) / len(sample),
                "table_bytes_per_customer": contestant.state_bytes() / there,
                "worker_rss_mb": worker.memory_info().rss / 1e6,
            }
            figures |= {f"{name}_{label}_customers": value for name, value in taken.items()}
            shown = ", ".join(f"{name.replace('_', ' ')} {value:,.0f}" for name, value in taken.items())
            print(f"{there:>9,} customers: {shown}", flush=True)
        figures["rebuilt_subjects_per_s_core"] = republished_per_s(contestant, customers[:there], worker)
        print(
            f"an emptied Redis: {figures['rebuilt_subjects_per_s_core']:,.0f} subjects pushed again a second",
            flush=True,
        )
    return figures


def republished_per_s(contestant: Contestant, customers: list[str], worker: Process) -> float:
    """Subjects republished a second, from vouching for an emptied Redis that has all permissions again."""
    servers, places = contestant.servers, [("sales", partition) for partition in range(PARTITIONS)]
    servers.redis.flushall()
    servers.permit(customers)

    def whole() -> bool:
        (node,) = servers.store.read((), (), places, 5_000).nodes
        return all(watermark is not None and watermark.incarnation == node.incarnation for watermark in node.watermarks)

    began_s = time.monotonic()
    servers.vouch()
    ended_s = wait_until("every value is there again", whole, worker, ENTERED_S)
    return len(customers) / (ended_s - began_s)


def enter(contestant: Contestant, customers: list[str], number: int) -> None:
    """New customers agree and buy once."""
    contestant.servers.permit(customers)
    contestant.servers.send(contestant.topic, at_once(customers, number))
