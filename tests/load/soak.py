"""Measurement of half an hour of chat traffic: failures, latency, and memory of every process."""

import csv
from itertools import pairwise
from pathlib import Path
from statistics import median

from devservers.results import RESULTS
from tests.chaos.run import log
from tests.load.environment import GENERATOR, LoadStep, load_environment
from tests.load.knee import figures_of
from tests.load.plots import plot_soak
from tests.load.process_monitor import Sample

CONVERSATIONS = 800  # some million requests in half an hour
CUSTOMERS, EVENTS_PER_S = 2_000, 50.0
EVERY_S = 5.0
QUARTERS = 4


def measure(folder: Path, minutes: float, conversations: int) -> dict[str, float]:
    """Figures of the requests, and each process's private memory in each quarter of the time."""
    with load_environment(folder, CUSTOMERS, EVENTS_PER_S) as env:
        step = env.run(conversations, minutes * 60, every_s=EVERY_S)
    for error, times in step.errors.items():
        log(f"  {times} x {error[:300]}")
    plot_soak(step.monitor.samples, history(folder / "locust_stats_history.csv"), RESULTS / "load_soak.svg")
    requests = sum(one.requests for one in step.stats.values())
    return figures_of(step) | {"minutes": minutes, "conversations": conversations, "requests": requests} | memory(step)


def memory(step: LoadStep) -> dict[str, float]:
    found = {}
    for name, samples in step.monitor.samples.items():
        if name != GENERATOR:
            found |= {f"{name}_mb_quarter_{n}": mb for n, mb in enumerate(quarters(samples), 1)}
    return found


def quarters(samples: list[Sample]) -> list[float]:
    """Private memory, in MB, in the middle of each quarter of the samples."""
    cuts = [len(samples) * n // QUARTERS for n in range(QUARTERS + 1)]
    return [median(one.uss for one in samples[start:end]) / 1e6 for start, end in pairwise(cuts)]


def history(path: Path) -> list[tuple[float, float, float]]:
    """Times (seconds), requests a second, and the 99th percentile (ms) of all requests in the seconds before."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["99%"] not in ("N/A", "")]
    return [(float(row["Timestamp"]), float(row["Requests/s"]), float(row["99%"])) for row in rows]
