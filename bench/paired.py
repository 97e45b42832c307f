"""Paired runs of two checkouts: the ratio of each of our own figures, this checkout's by the other's.

    python -m bench.paired OTHER [--bench serving streaming] [--runs 7]

Serving: both checkouts' servers run at once and are loaded in bursts of three seconds in turns. Streaming: a pair is
one run of ``python -m bench.streaming --own`` in each checkout. The interpreter is the same; every other pair begins
with the other checkout, so that a machine that slows down favours neither. Printed are the ratios of each pair and
their median; a ratio below 1 means that this checkout takes less.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench import bursts
from devservers.results import ROOT

EVENT = "cpu_us_per_event"
Pair = tuple[str, float, float]  # the figure, this checkout's value, the other's


def environment(checkout: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(checkout)}


class Bursts:
    """Servers of a checkout that are loaded on request."""

    def __init__(self, checkout: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, bursts.__file__],
            cwd=checkout,
            env=environment(checkout),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._requests, self._answers = self._process.stdin, self._process.stdout
        assert self._answers.readline() == "ready\n", f"the servers of {checkout} did not start"

    def measure(self, adapter: str) -> float:
        """Microseconds of processor time of an answer."""
        self._requests.write(f"{adapter}\n")
        self._requests.flush()
        return float(self._answers.readline())

    def stop(self) -> None:
        self._requests.close()
        self._process.wait()


def serving_pairs(other: Path, runs: int) -> Iterator[Pair]:
    """A read by each adapter, both checkouts' servers at once."""
    sides = [Bursts(ROOT), Bursts(other)]
    for adapter in bursts.ADAPTERS:
        for side in sides:
            side.measure(adapter)  # warms up
        for number in range(runs):
            found = {side: side.measure(adapter) for side in (sides if number % 2 == 0 else sides[::-1])}
            yield adapter, found[sides[0]], found[sides[1]]
    for side in sides:
        side.stop()


def streaming_pairs(other: Path, runs: int) -> Iterator[Pair]:
    """An event, one checkout after the other."""
    for number in range(runs):
        order = [ROOT, other] if number % 2 == 0 else [other, ROOT]
        found = {checkout: _cpu_us_of_an_event(checkout) for checkout in order}
        yield EVENT, found[ROOT], found[other]


def _cpu_us_of_an_event(checkout: Path) -> float:
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder:
        file = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "bench.streaming", "--own", "--rounds", "1", "--figures", str(file)]
        subprocess.run(command, cwd=checkout, env=environment(checkout), stdout=subprocess.DEVNULL, check=True)
        return float(json.loads(file.read_text(encoding="utf-8"))["figures"][EVENT])


BENCHES = {"serving": serving_pairs, "streaming": streaming_pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--bench", nargs="+", choices=BENCHES, default=list(BENCHES))
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {}
    for bench in options.bench:
        for name, this, that in BENCHES[bench](options.other.resolve(), options.runs):
            ratios.setdefault(name, []).append(this / that)
            print(f"{name:<18}{this:9.1f} us  {that:9.1f} us  ratio {this / that:.3f}", flush=True)
    for name, values in ratios.items():
        print(f"median of {len(values)}: {name:<18}{median(values):.3f}")


if __name__ == "__main__":
    main()
