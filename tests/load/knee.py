"""Measurement of the knee: conversations are added until reads are late, for each number of API processes."""

import json
from collections.abc import Sequence
from pathlib import Path

from devservers.results import RESULTS
from devservers.wrk import Requests, saturate
from tests.chaos.run import log
from tests.load.customers import BATCH_CUSTOMERS, CHANGING_CUSTOMERS, CUSTOMER_PREFIX, SUPPORT
from tests.load.environment import GENERATOR, NOTHING, LoadEnvironment, LoadStep, load_environment
from tests.load.plots import plot_knee

STEPS = [250, 500, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000]
CUSTOMERS, EVENTS_PER_S = 2_000, 50.0
READ_LIMIT_MS, BURST_LIMIT_MS = 50, 100
"""Limits of the 99th percentile of a read in a conversation, and of one in a burst."""
SATURATION_CONNECTIONS, SATURATION_S = 16, 10


def measure(folder: Path, workers: Sequence[int], steps: Sequence[int], seconds: float) -> dict[str, float]:
    """Figures by API processes and conversations. The steps end after one that exceeds a limit twofold."""
    figures: dict[str, float] = {}
    with load_environment(folder, CUSTOMERS, EVENTS_PER_S) as env:
        for processes in workers:
            env.serve_with(processes)
            figures[f"most_reads_per_s_{processes}_processes"] = max_reads_per_s(env)
            in_time = 0
            for conversations in steps:
                found = figures_of(step := env.run(conversations, seconds))
                print_step(processes, step, found)
                where = f"{processes}_processes_{conversations}_conversations"
                figures |= {f"{name}_{where}": value for name, value in found.items()}
                late = max(found["read_p99_ms"] / READ_LIMIT_MS, found["burst_p99_ms"] / BURST_LIMIT_MS)
                if late > 2:
                    break
                if late <= 1 and not step.failures:
                    in_time = conversations
                    figures[f"reads_per_s_in_time_{processes}_processes"] = found["reads_per_s"]
            figures[f"conversations_in_time_{processes}_processes"] = in_time
    plot_knee(figures, RESULTS / "load_knee.svg")
    return figures


def figures_of(step: LoadStep) -> dict[str, float]:
    """Figures of a step."""
    reads = step.reads()

    def p99(part: str) -> float:
        return next((one for name, one in step.stats.items() if part in name), NOTHING).quantile_ms(0.99)

    return {
        "reads_per_s": reads.per_s,
        "requests_per_s": sum(one.per_s for one in step.stats.values()),
        "failures": step.failures,
        "read_p50_ms": reads.quantile_ms(0.5),
        "read_p99_ms": reads.quantile_ms(0.99),
        "read_p999_ms": reads.quantile_ms(0.999),
        "burst_p99_ms": p99("burst"),
        "batch_p99_ms": p99(f"{BATCH_CUSTOMERS} customers"),
        "event_p99_ms": p99("write an event"),
        "stream_p99_ms": p99("to its change"),
        "api_cores": step.monitor.cores("api"),
        "generator_cores": step.monitor.cores(GENERATOR),
        "all_cores": sum(step.monitor.cores(name) for name in step.monitor.samples),
    }


def print_step(processes: int, step: LoadStep, found: dict[str, float]) -> None:
    log(
        f"{processes} API processes, {step.conversations:>6,} conversations: "
        f"{found['requests_per_s']:>6,.0f} requests/s, read p50 {found['read_p50_ms']:.0f}, "
        f"p99 {found['read_p99_ms']:.0f}, burst p99 {found['burst_p99_ms']:.0f} ms, "
        f"event {found['event_p99_ms']:.0f}, change {found['stream_p99_ms']:.0f} ms, {step.failures} failures, "
        f"cores: API {found['api_cores']:.2f}, Locust {found['generator_cores']:.2f}, all {found['all_cores']:.2f}"
    )
    for error, times in step.errors.items():
        log(f"  {times} x {error[:300]}")


def max_reads_per_s(env: LoadEnvironment) -> float:
    """Single reads a second that the API answers at most, measured with wrk, which needs little processor time."""
    headers = {"Authorization": f"Bearer {env.servers.key}", "Content-Type": "application/json"}
    bodies = [
        json.dumps(SUPPORT | {"customer_id": f"{CUSTOMER_PREFIX}{n}"}).encode()
        for n in range(CHANGING_CUSTOMERS, env.customers)
    ]
    requests = Requests(env.servers.installation.api_port, "/v1/features", headers, bodies)
    return saturate(requests, SATURATION_CONNECTIONS, SATURATION_S).requests_per_s
