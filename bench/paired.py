"""Paired runs of two checkouts: the ratio of each of our own figures, this checkout's by the other's.

    python -m bench.paired OTHER [--bench serving streaming] [--runs 7] [--figures cpu_us ninja_cpu_us cpu_us_per_event]

A pair is one run of ``python -m bench.NAME --own`` in each checkout, with the same interpreter; every other pair begins
with the other checkout, so that a machine that slows down favours neither. Each checkout starts its own processes and
fills its own servers, and so needs nothing of the other but that option. Printed are the ratios of each pair and their
median; a ratio below 1 means that this checkout takes less.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from devservers.results import ROOT

BENCHES = {"serving": ["--rounds", "1", "--seconds", "5"], "streaming": ["--rounds", "1"]}
COMPARED = ["cpu_us", "ninja_cpu_us", "cpu_us_per_event"]


def measure(checkout: Path, bench: str, file: Path) -> dict[str, float]:
    """The figures of one run of a checkout's bench."""
    command = [sys.executable, "-m", f"bench.{bench}", "--own", "--figures", str(file), *BENCHES[bench]]
    subprocess.run(
        command, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)}, stdout=subprocess.DEVNULL, check=True
    )
    figures: dict[str, float] = json.loads(file.read_text(encoding="utf-8"))["figures"]
    return figures


def pair(other: Path, bench: str, other_first: bool) -> dict[str, float]:
    """This checkout's figures by the other's, measured one after the other."""
    figures: dict[Path, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder:
        for checkout in (other, ROOT) if other_first else (ROOT, other):
            figures[checkout] = measure(checkout, bench, Path(folder) / "figures.json")
    return {name: value / figures[other][name] for name, value in figures[ROOT].items() if name in figures[other]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--bench", nargs="+", choices=BENCHES, default=list(BENCHES))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--figures", nargs="+", default=COMPARED)
    options = parser.parse_args()
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(options.runs):
        for bench in options.bench:
            for name, ratio in pair(options.other.resolve(), bench, other_first=number % 2 == 1).items():
                if name in options.figures:
                    ratios[name].append(ratio)
                    print(f"pair {number + 1}: {name:<24}{ratio:.3f}", flush=True)
    for name, values in ratios.items():
        print(f"median of {len(values)}: {name:<18}{median(values):.3f}")


if __name__ == "__main__":
    main()
