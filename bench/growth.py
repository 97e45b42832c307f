"""How our worker's figures grow with its customers, from a thousand to a million.

One worker goes on from size to size: first every new customer buys once, unmeasured; then purchases of customers drawn
from all of them are measured.
"""

import random
from datetime import UTC, datetime

from bench.contestants.roster import Rapport, working
from bench.load import sending, stamps
from bench.patience import wait_until
from bench.surroundings import Surroundings, by_partition, record, subjects_of
from bench.throughput import at_once

SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1m": 1_000_000}
SLICE = 40_000
FIRST_DEADLINE_S = 900


def measured(around: Surroundings, scale: int = 1) -> dict[str, float]:
    """Figures by size; ``scale`` divides the sizes and the slices."""
    contestant = Rapport(around)
    drawn, figures = random.Random(1), dict[str, float]()
    customers = subjects_of("grown", max(SIZES.values()) // scale)
    empty_bytes, there = around.redis.info("memory")["used_memory"], 0
    with working(contestant) as worker:
        for label, size in SIZES.items():
            size //= scale
            new, marks = customers[there:size], by_partition(f"new-{label}")
            around.permit([*new, *marks])
            around.send(contestant.topic, at_once([*new, *marks], there))
            wait_until("all bought once", lambda marks=marks: all(contestant.seen(marks)), worker, FIRST_DEADLINE_S)
            there = size

            marks, now = by_partition(f"drawn-{label}"), datetime.now(UTC)
            around.permit(marks)
            chosen = drawn.choices(customers[:there], k=SLICE // scale)
            records = [record(subject, 10**9 * there + i, now) for i, subject in enumerate([*chosen, *marks])]
            sent, changelog_bytes = stamps(len(records)), contestant.changelog_bytes()
            with sending(around.broker.bootstrap, contestant.topic, records, sent):
                ended = wait_until("some bought more", lambda marks=marks: all(contestant.seen(marks)), worker)
            taken = {
                "events_per_s_core": len(records) / (ended - sent[0]),
                "changelog_bytes_per_event": (contestant.changelog_bytes() - changelog_bytes) / len(records),
                "redis_bytes_per_customer": (around.redis.info("memory")["used_memory"] - empty_bytes) / there,
                "table_bytes_per_customer": contestant.state_bytes() / there,
                "worker_rss_mb": worker.memory_info().rss / 1e6,
            }
            figures |= {f"{name}_{label}_customers": value for name, value in taken.items()}
            shown = ", ".join(f"{name.replace('_', ' ')} {value:,.0f}" for name, value in taken.items())
            print(f"{there:>9,} customers: {shown}", flush=True)
    return figures
