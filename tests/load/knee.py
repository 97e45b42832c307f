"""Where reads become late: more and more conversations, for one API process and each that is added."""

import json
from collections.abc import Sequence
from pathlib import Path

from devservers.results import RESULTS
from devservers.wrk import Requests, saturate
from tests.chaos.run import log
from tests.load.customers import BATCH_CUSTOMERS, CHANGING_CUSTOMERS, CUSTOMER_PREFIX, SUPPORT
from tests.load.plots import plot_knee
from tests.load.environment import GENERATOR, NOTHING, LoadStep, LoadEnvironment, load_environment

STEPS = [250, 500, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000]
CUSTOMERS, EVENTS_PER_S = 2_000, 50.0
READ_MS, BURST_MS = 50, 100
"""The lines to beat: the 99th percentile of a read in a conversation, and of one in a burst."""
RUSH_CONNECTIONS, RUSH_S = 16, 10


def measured(folder: Path, workers: Sequence[int], steps: Sequence[int], seconds: float) -> dict[str, float]:
    """Figures by API processes and conversations. No step follows the first that is twice too late."""
    figures: dict[str, float] = {}
    with load_environment(folder, CUSTOMERS, EVENTS_PER_S) as shop:
        for processes in workers:
            shop.serve_with(processes)
            figures[f"most_reads_per_s_{processes}_processes"] = most(shop)
            in_time = 0
            for conversations in steps:
                found = figures_of(done := shop.load(conversations, seconds))
                tell(processes, done, found)
                where = f"{processes}_processes_{conversations}_conversations"
                figures |= {f"{name}_{where}": value for name, value in found.items()}
                late = max(found["read_p99_ms"] / READ_MS, found["burst_p99_ms"] / BURST_MS)
                if late > 2:
                    break
                if late <= 1 and not done.failures:
                    in_time = conversations
                    figures[f"reads_per_s_in_time_{processes}_processes"] = found["reads_per_s"]
            figures[f"conversations_in_time_{processes}_processes"] = in_time
    plot_knee(figures, RESULTS / "load_knee.svg")
    return figures


def figures_of(load: LoadStep) -> dict[str, float]:
    """A step's figures."""
    reads = load.reads()

    def p99(part: str) -> float:
        return next((asked for name, asked in load.asked.items() if part in name), NOTHING).quantile_ms(0.99)

    return {
        "reads_per_s": reads.per_s,
        "requests_per_s": sum(asked.per_s for asked in load.asked.values()),
        "failures": load.failures,
        "read_p50_ms": reads.quantile_ms(0.5),
        "read_p99_ms": reads.quantile_ms(0.99),
        "read_p999_ms": reads.quantile_ms(0.999),
        "burst_p99_ms": p99("burst"),
        "batch_p99_ms": p99(f"{BATCH_CUSTOMERS} customers"),
        "event_p99_ms": p99("write an event"),
        "stream_p99_ms": p99("to its change"),
        "api_cores": load.watch.cores("api"),
        "generator_cores": load.watch.cores(GENERATOR),
        "all_cores": sum(load.watch.cores(name) for name in load.watch.samples),
    }


def tell(processes: int, load: LoadStep, found: dict[str, float]) -> None:
    log(
        f"{processes} API processes, {load.conversations:>6,} conversations: "
        f"{found['requests_per_s']:>6,.0f} requests/s, read p50 {found['read_p50_ms']:.0f}, "
        f"p99 {found['read_p99_ms']:.0f}, burst p99 {found['burst_p99_ms']:.0f} ms, "
        f"event {found['event_p99_ms']:.0f}, told {found['stream_p99_ms']:.0f} ms, {load.failures} failures, "
        f"cores: API {found['api_cores']:.2f}, Locust {found['generator_cores']:.2f}, all {found['all_cores']:.2f}"
    )
    for error, times in load.errors.items():
        log(f"  {times} x {error[:300]}")


def most(shop: LoadEnvironment) -> float:
    """Single reads a second that the API answers as fast as it can; the load costs next to nothing (wrk)."""
    headers = {"Authorization": f"Bearer {shop.world.key}", "Content-Type": "application/json"}
    bodies = [json.dumps(SUPPORT | {"customer_id": f"{CUSTOMER_PREFIX}{n}"}).encode() for n in range(CHANGING_CUSTOMERS, shop.people)]
    question = Requests(shop.world.installation.api_port, "/v1/features", headers, bodies)
    return saturate(question, RUSH_CONNECTIONS, RUSH_S).requests_per_s
