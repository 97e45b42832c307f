"""The long run: python -m tests.chaos [--minutes 30] [--seed N]; writes bench/results/chaos.json."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from devservers import results
from tests.chaos.report import failures, figures, summary
from tests.chaos.run import Plan, run, say
from tests.chaos.world import missing

FAULTS = 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--faults", type=int, default=FAULTS, help="survive so many at least")
    parser.add_argument("--seed", type=int, default=None, help="of everything that is random; printed")
    chosen = parser.parse_args()
    if reason := missing():
        sys.exit(f"no chaos without real servers: {reason}")
    seed = random.randrange(10**6) if chosen.seed is None else chosen.seed
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops what it started, as Ctrl-C does
    folder = Path(tempfile.mkdtemp(prefix="rapport-chaos-"))
    outcome = run(folder, Plan(chosen.minutes, chosen.faults, seed))
    say(summary(outcome))
    if wrong := failures(outcome):
        say("\n".join(["", "FAILED", *wrong]))
        return 1
    shutil.rmtree(folder)
    if len(outcome.survived) >= FAULTS:  # a short run is no result
        command = f"make chaos CHAOS_MINUTES={chosen.minutes:g} CHAOS_SEED={seed}"
        say(str(results.write("chaos", figures(outcome), command)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
