"""The feature read beside its peers: Rapport by both adapters, Feast plain and precomputed, and a bare Django view.

    python -m bench.serving [--rounds 3] [--try]
    python -m bench.serving --own [--figures PATH]      Rapport alone, for ``bench.paired``

One worker on one core; Redis and the load on the others. One customer's twenty windowed features of three views, some
thirty tiles each, authenticated, permitted, rate-limited, recorded, counted; Feast answers twenty stored doubles. In
each round every contestant has its turn: as fast as eight clients are answered, then at a steady rate that all can
bear, then a hundred customers at a time for one client. Ratios are of one round; a figure is the median of the rounds.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil

from bench import served_customers
from bench.contestants.http_servers import (
    CORE,
    ROSTER,
    FastPath,
    Feast,
    Floor,
    Ninja,
    PrecomputedFeast,
    Server,
    SharedServers,
)
from bench.servers import MEMORY
from devservers import results, wrk
from devservers.wrk import Requests
from featurestore.catalog import registry

CUSTOMERS = 1_000
CLIENTS = 8
RATE = 100  # a second: a third of what Feast bears
BATCH = 100

POPULATIONS = {days: served_customers.customers(100, f"D{days}-") for days in (1, 365)}  # customers by days with events

OWN = [FastPath, Ninja]

Figures = dict[str, float]


@contextmanager
def shared_servers(customers: int) -> Iterator[SharedServers]:
    """Shared servers and customers, with files in memory where the machine can; only contestants use their core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores - {CORE} or cores)
    folder = Path(tempfile.mkdtemp(prefix="rapport-bench-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        servers = SharedServers(folder, served_customers.customers(customers))
        try:
            served_customers.fill(servers.store.url, servers.customers)
            for days, names in POPULATIONS.items():
                served_customers.fill(servers.store.url, names, days)
            yield servers
        finally:
            servers.stop()
    finally:
        shutil.rmtree(folder)
        os.sched_setaffinity(0, cores)


def turn(server: Server, seconds: float) -> Figures:
    """The figures of one contestant's turn."""
    server.prepare()
    with server.serving() as process:
        wrk.saturate(server.requests(), CLIENTS, 2)
        workers = process.children(recursive=True) or [process]
        before_s = cpu_s(workers)
        saturated = wrk.saturate(server.requests(), CLIENTS, seconds)
        used_s = cpu_s(workers) - before_s
        steady = wrk.pace(server.requests(), RATE, CLIENTS, seconds)
        found = {
            "rps": saturated.requests_per_s, "cpu_us": used_s / (saturated.requests_per_s * round(seconds)) * 1e6,
            "p50_ms": saturated.p50_ms, "p99_ms": saturated.p99_ms, "p999_ms": saturated.p999_ms,
            "steady_p50_ms": steady.p50_ms, "steady_p99_ms": steady.p99_ms, "steady_p999_ms": steady.p999_ms,
            "ready_s": server.ready_s,
        }  # fmt: skip
        if server.batches:
            batch = wrk.saturate(server.requests(BATCH), 1, seconds)
            found |= {f"batch{BATCH}_rps": batch.requests_per_s, f"batch{BATCH}_p50_ms": batch.p50_ms,
                      f"batch{BATCH}_p99_ms": batch.p99_ms}  # fmt: skip
        found["worker_rss_mb"] = max(worker.memory_info().rss for worker in workers) / 1e6
    print(f"{server.title:<28}" + "  ".join(f"{name} {value:,.4g}" for name, value in found.items()), flush=True)
    return found


def cpu_s(processes: list[psutil.Process]) -> float:
    """Processor time that processes have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def ratios(round_: dict[type[Server], Figures]) -> Figures:
    """The ratios of one round."""
    fast, ninja, floor, feast = (round_[kind] for kind in (FastPath, Ninja, Floor, Feast))
    batch = f"batch{BATCH}_rps"
    return {
        "ratio_rps_vs_feast": fast["rps"] / feast["rps"],
        "ratio_ninja_vs_feast": ninja["rps"] / feast["rps"],
        "ratio_rps_vs_feast_precomputed": fast["rps"] / round_[PrecomputedFeast]["rps"],
        "ratio_p99_vs_feast": fast["steady_p99_ms"] / feast["steady_p99_ms"],
        "ratio_rps_vs_floor": fast["rps"] / floor["rps"],
        f"ratio_batch{BATCH}_vs_feast": fast[batch] / feast[batch],
    }


def turns(servers: SharedServers, roster: Sequence[type[Server]], rounds: int, seconds: float) -> Figures:
    """The median of each figure over the rounds; every other round goes through the roster backwards."""
    every: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        round_ = {kind: turn(kind(servers), seconds) for kind in (roster if number % 2 == 0 else roster[::-1])}
        for kind, found in round_.items():
            for name, value in found.items():
                every[f"{kind.prefix}{name}"].append(value)
        if Feast in round_:
            for name, value in ratios(round_).items():
                every[name].append(value)
    return {name: median(values) for name, values in every.items()}


def measured(servers: SharedServers, rounds: int, seconds: float) -> Figures:
    """All figures."""
    stages = json.loads(servers.run("-m", "bench.stages"))
    figures = turns(servers, ROSTER, rounds, seconds) | costs(FastPath(servers), seconds / 2)
    return figures | {f"stage_us_{name}": value for name, value in stages.items()}


def costs(server: FastPath, seconds: float) -> Figures:
    """Microseconds of the worker's core that a read takes: by features, views, tiles, and customers in a batch."""
    service = registry.services[served_customers.SERVICE]
    every = [feature.name for view in service.views for feature in view.features]
    usual, first = server.servers.customers, served_customers.FEATURES
    loads = {f"{n}_features": server.requests_for(first[:n], usual) for n in (1, 5, 20)}
    loads[f"{len(every)}_features"] = server.requests_for(every, usual)
    for n in (1, 3, 9):
        loads[f"{n}_views"] = server.requests_for([view.features[0].name for view in service.views[:n]], usual)
    loads |= {f"{days}_tiles": server.requests_for(first, names) for days, names in POPULATIONS.items()}
    with server.serving() as process:
        workers = process.children(recursive=True)
        found = {f"cpu_us_{name}": spent_us(requests, workers, CLIENTS, seconds) for name, requests in loads.items()}
        for batch in (10, BATCH):
            found[f"cpu_us_a_customer_of_{batch}"] = spent_us(server.requests(batch), workers, 1, seconds) / batch
    return found


def spent_us(requests: Requests, workers: list[psutil.Process], clients: int, seconds: float) -> float:
    """Processor time of the workers an answer, in microseconds."""
    before_s = cpu_s(workers)
    saturated = wrk.saturate(requests, clients, seconds)
    return (cpu_s(workers) - before_s) / (saturated.requests_per_s * round(seconds)) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--try", action="store_true", dest="trying", help="see that it runs; writes nothing")
    parser.add_argument("--own", action="store_true", help="our own turns alone; written only with --figures")
    parser.add_argument("--figures", type=Path, help="the file to write, in place of bench/results/serving.json")
    options = parser.parse_args()
    write_it = bool(options.figures) or not (options.own or options.trying)
    with shared_servers(CUSTOMERS) as servers:
        if options.own:
            figures = turns(servers, OWN, options.rounds, options.seconds)
        else:
            figures = measured(servers, options.rounds, options.seconds)
        results.report("serving", figures, write_it=write_it, path=options.figures)


if __name__ == "__main__":
    main()
