"""Streaming, side by side: our worker, a plain Faust agent and Quix Streams, the same job on the same Kafka and Redis.

    python -m bench.streaming [--rounds 3] [--quick] [--growth]
    python -m bench.streaming --own [--figures PATH]      our worker's throughput alone, for ``bench.paired``

The job: decode JSON, keep sums and counts of three windows a customer in a durable table with a changelog, write them
to Redis. Each worker has one core to itself; Kafka, Redis and the load have the others, and all files are in memory.
Contestants take turns, and ratios are medians over the rounds of one run: absolute figures are this machine's.
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench import catalog, growth, recovery, sizes
from bench.contestants.workers import PEERS, ROSTER, Contestant, Rapport
from bench.distribution import quantile
from bench.latency import latencies_ms
from bench.servers import BenchServers, bench_servers
from bench.throughput import Turn, burst, throughput
from devservers import results

EVENTS = 100_000
BURST, FILLED = 10_000, 100_000
RATES = {200: 40, 2_000: 25}  # events a second, and for how many seconds
SPARE = 1.25  # so much faster than a rate must a contestant be to be asked for its latency there
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}

Figures = dict[str, float]


def throughputs(servers: BenchServers, roster: Sequence[type[Contestant]], rounds: int, events: int) -> Figures:
    """Every contestant's throughput, in turns; each round begins with another."""
    turns: dict[type[Contestant], list[Turn]] = defaultdict(list)
    for number in range(rounds):
        for kind in [*roster[number % len(roster) :], *roster[: number % len(roster)]]:
            turn = throughput(kind(servers), events)
            turns[kind].append(turn)
            print(
                f"round {number + 1}: {kind.title:<14}{turn.events_per_s:>8,.0f} events/s"
                f"{turn.worker_rss_mb:>6.0f} MB{turn.changelog_bytes_per_event:>7,.0f} changelog bytes an event",
                flush=True,
            )
    figures: Figures = {}
    for kind, taken in turns.items():
        figures[f"{kind.prefix}events_per_s_core"] = median(turn.events_per_s for turn in taken)
        figures[f"{kind.prefix}cpu_us_per_event"] = median(turn.cpu_us_per_event for turn in taken)
        figures[f"{kind.prefix}worker_rss_mb"] = median(turn.worker_rss_mb for turn in taken)
        figures[f"{kind.prefix}changelog_bytes_per_event"] = median(turn.changelog_bytes_per_event for turn in taken)
        figures[f"{kind.prefix}table_bytes_per_customer"] = median(turn.table_bytes_per_customer for turn in taken)
    for peer in set(roster) & set(PEERS):
        pairs = zip(turns[Rapport], turns[peer], strict=True)
        name = peer.prefix.removesuffix("_")
        figures[f"ratio_vs_{name}"] = median(ours.events_per_s / theirs.events_per_s for ours, theirs in pairs)
    return figures


def latencies(servers: BenchServers, throughput: Figures, scale: int) -> Figures:
    """Every contestant's at each rate that it can hold."""
    figures: Figures = {}
    probed: list[float] = []
    for rate, seconds in RATES.items():
        for kind in ROSTER:
            if throughput[f"{kind.prefix}events_per_s_core"] < SPARE * rate:
                print(f"{kind.title:<14}at {rate:,}/s: not asked, it is too slow for that")
                continue
            took, probes = latencies_ms(kind(servers), rate, max(seconds // scale, 4))
            probed += probes
            found = {label: quantile(took, share) for label, share in QUANTILES.items()}
            figures |= {f"{kind.prefix}produce_to_readable_{label}_ms_{rate}": ms for label, ms in found.items()}
            shown = ", ".join(f"{label.replace('_', '.')} {ms:.1f} ms" for label, ms in found.items())
            print(f"{kind.title:<14}at {rate:,}/s: {shown} of {len(took):,}", flush=True)
    figures["latency_probe_p50_ms"], figures["latency_probe_p99_ms"] = quantile(probed, 0.5), quantile(probed, 0.99)
    return figures


def filled_per_s(customers: int) -> float:
    """``bench.permissions`` in a process of its own, for it needs Django."""
    command = [sys.executable, "-m", "bench.permissions", "--customers", str(customers)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the events, to see that it runs; writes nothing"
    )
    parser.add_argument("--growth", action="store_true", help="also from a thousand customers to a million")
    parser.add_argument("--own", action="store_true", help="our own turns alone; written only with --figures")
    parser.add_argument("--figures", type=Path, help="the file to write, in place of bench/results/streaming.json")
    options = parser.parse_args()
    scale = 10 if options.quick else 1
    write_it = bool(options.figures) or not (options.own or options.quick)
    with bench_servers() as servers:
        if options.own:
            figures = throughputs(servers, [Rapport], options.rounds, EVENTS // scale)
            results.report("streaming", figures, write_it=write_it, path=options.figures)
            return
        figures = throughputs(servers, ROSTER, options.rounds, EVENTS // scale)
        figures |= latencies(servers, figures, scale)
        figures["burst_of_one_customer_events_per_s_core"] = burst(Rapport(servers), BURST // scale)
        servers.clear()
        figures |= recovery.rapport(servers.broker.bootstrap, servers.folder, recovery.SUBJECTS // scale)
        servers.clear()
        figures["permissions_filled_per_s"] = filled_per_s(FILLED // scale)
        figures |= catalog.measured(servers.redis_server)
        figures |= sizes.measured(servers.redis_server)
        if options.growth:
            figures |= growth.measured(servers, scale)
    results.report("streaming", figures, write_it=write_it, path=options.figures)


if __name__ == "__main__":
    main()
