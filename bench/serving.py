"""The feature read beside its peers: Rapport by both doors, Feast plain and precomputed, and a bare Django view.

    python -m bench.serving [--rounds 3] [--try]

One worker on one core; Redis and the load on the others. One customer's twenty windowed features of three views, some
thirty tiles each, authenticated, permitted, rate-limited, recorded, counted; Feast answers twenty stored doubles. In
each round every contestant has its turn: as fast as eight clients are answered, then at a steady rate that all can
bear, then a hundred customers at a time for one client. Ratios are of one round; the median of the rounds is told.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil

from bench import readers
from bench.contestants.servers import CORE, ROSTER, Around, Feast, Floor, Lane, Ninja, PrecomputedFeast, Server
from bench.surroundings import MEMORY
from devservers import wrk
from devservers.results import tell
from devservers.wrk import Requests
from featurestore.catalog import registry

CUSTOMERS = 1_000
CLIENTS = 8
RATE = 100  # a second: a third of what Feast bears
BATCH = 100

POPULATIONS = {days: readers.customers(100, f"D{days}-") for days in (1, 365)}  # customers by days with events

Figures = dict[str, float]


@contextmanager
def surroundings(customers: int) -> Iterator[Around]:
    """Servers in memory where the machine has such a folder; all but the contestants keep off their core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores - {CORE} or cores)
    folder = Path(tempfile.mkdtemp(prefix="rapport-bench-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        around = Around(folder, readers.customers(customers))
        try:
            readers.fill(around.store.url, around.customers)
            for days, names in POPULATIONS.items():
                readers.fill(around.store.url, names, days)
            yield around
        finally:
            around.stop()
    finally:
        shutil.rmtree(folder)
        os.sched_setaffinity(0, cores)


def turn(server: Server, seconds: float) -> Figures:
    """What one contestant shows in its turn."""
    server.prepare()
    with server.serving() as process:
        wrk.saturate(server.question(), CLIENTS, 2)
        workers = process.children(recursive=True) or [process]
        before_s = cpu_s(workers)
        rushed = wrk.saturate(server.question(), CLIENTS, seconds)
        used_s = cpu_s(workers) - before_s
        steady = wrk.pace(server.question(), RATE, CLIENTS, seconds)
        found = {
            "rps": rushed.requests_per_s, "cpu_us": used_s / (rushed.requests_per_s * round(seconds)) * 1e6,
            "p50_ms": rushed.p50_ms, "p99_ms": rushed.p99_ms, "p999_ms": rushed.p999_ms,
            "steady_p50_ms": steady.p50_ms, "steady_p99_ms": steady.p99_ms, "steady_p999_ms": steady.p999_ms,
            "ready_s": server.ready_s,
        }  # fmt: skip
        if server.batches:
            batch = wrk.saturate(server.question(BATCH), 1, seconds)
            found |= {f"batch{BATCH}_rps": batch.requests_per_s, f"batch{BATCH}_p50_ms": batch.p50_ms,
                      f"batch{BATCH}_p99_ms": batch.p99_ms}  # fmt: skip
        found["worker_rss_mb"] = max(worker.memory_info().rss for worker in workers) / 1e6
    print(f"{server.title:<28}" + "  ".join(f"{name} {value:,.4g}" for name, value in found.items()), flush=True)
    return found


def cpu_s(processes: list[psutil.Process]) -> float:
    """Processor time that they have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def compared(round_: dict[type[Server], Figures]) -> Figures:
    """The ratios of one round."""
    lane, ninja, floor, feast = (round_[who] for who in (Lane, Ninja, Floor, Feast))
    batch = f"batch{BATCH}_rps"
    return {
        "ratio_rps_vs_feast": lane["rps"] / feast["rps"],
        "ratio_ninja_vs_feast": ninja["rps"] / feast["rps"],
        "ratio_rps_vs_feast_precomputed": lane["rps"] / round_[PrecomputedFeast]["rps"],
        "ratio_p99_vs_feast": lane["steady_p99_ms"] / feast["steady_p99_ms"],
        "ratio_rps_vs_floor": lane["rps"] / floor["rps"],
        f"ratio_batch{BATCH}_vs_feast": lane[batch] / feast[batch],
    }


def measured(around: Around, rounds: int, seconds: float) -> Figures:
    """All figures: the median of the rounds of each."""
    every: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        roster = ROSTER if number % 2 == 0 else ROSTER[::-1]
        round_ = {who: turn(who(around), seconds) for who in roster}
        for who, found in round_.items():
            for name, value in found.items():
                every[f"{who.prefix}{name}"].append(value)
        for name, value in compared(round_).items():
            every[name].append(value)
    stages = json.loads(around.run("-m", "bench.stages"))
    figures = {name: median(values) for name, values in every.items()} | costs(Lane(around), seconds / 2)
    return figures | {f"stage_us_{name}": value for name, value in stages.items()}


def costs(server: Lane, seconds: float) -> Figures:
    """Microseconds of the worker's core that a read takes: by features, views, tiles, and customers in a batch."""
    service = registry.services[readers.SERVICE]
    every = [feature.name for view in service.views for feature in view.features]
    usual, first = server.around.customers, readers.FEATURES
    questions = {f"{n}_features": server.about(first[:n], usual) for n in (1, 5, 20)}
    questions[f"{len(every)}_features"] = server.about(every, usual)
    for n in (1, 3, 9):
        questions[f"{n}_views"] = server.about([view.features[0].name for view in service.views[:n]], usual)
    questions |= {f"{days}_tiles": server.about(first, who) for days, who in POPULATIONS.items()}
    with server.serving() as process:
        workers = process.children(recursive=True)
        found = {f"cpu_us_{name}": spent_us(asked, workers, CLIENTS, seconds) for name, asked in questions.items()}
        for batch in (10, BATCH):
            found[f"cpu_us_a_customer_of_{batch}"] = spent_us(server.question(batch), workers, 1, seconds) / batch
    return found


def spent_us(question: Requests, workers: list[psutil.Process], clients: int, seconds: float) -> float:
    """Processor time of the workers an answer, in microseconds."""
    before_s = cpu_s(workers)
    rushed = wrk.saturate(question, clients, seconds)
    return (cpu_s(workers) - before_s) / (rushed.requests_per_s * round(seconds)) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--try", action="store_true", dest="trying", help="see that it runs; writes nothing")
    parser.add_argument("--only", default="", help="class names of contestants, with commas: their turns alone")
    asked = parser.parse_args()
    with surroundings(CUSTOMERS) as around:
        if asked.only:
            for who in ROSTER:
                if who.__name__ in asked.only.split(","):
                    turn(who(around), asked.seconds)
            return
        tell("serving", measured(around, asked.rounds, asked.seconds), write_it=not asked.trying)


if __name__ == "__main__":
    main()
