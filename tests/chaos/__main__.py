"""Command of the long run: python -m tests.chaos [--minutes 30] [--seed N]; writes bench/results/chaos.json."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from devservers import results
from tests.chaos.environment import missing_servers
from tests.chaos.faults import FAULTS, missing
from tests.chaos.report import failures, figures, summary
from tests.chaos.run import Plan, log, run

PUBLISHED_FAULTS = 80


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--faults", type=int, default=PUBLISHED_FAULTS, help="at least so many faults")
    parser.add_argument("--only", nargs="+", metavar="FAULT", choices=FAULTS, help="carry out these kinds alone")
    parser.add_argument("--seed", type=int, default=None, help="of all random choices; printed")
    arguments = parser.parse_args()
    if reason := missing_servers():
        sys.exit(f"the chaos run needs real servers: {reason}")
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops every process, as Ctrl-C does
    folder = Path(tempfile.mkdtemp(prefix="rapport-chaos-"))
    kinds = arguments.only or list(FAULTS)
    for name in kinds:
        if reason := missing(name):
            log(f"left out: {name}, because {reason}")
    possible = tuple(name for name in kinds if not missing(name))
    outcome = run(folder, Plan(arguments.minutes, arguments.faults, seed, kinds=possible))
    log(summary(outcome))
    if problems := failures(outcome):
        log("\n".join(["", "FAILED", *problems]))
        return 1
    shutil.rmtree(folder)
    if len(outcome.survived_faults) >= PUBLISHED_FAULTS:  # a shorter run is not published
        command = f"make chaos CHAOS_MINUTES={arguments.minutes:g} CHAOS_SEED={seed}"
        log(str(results.write("chaos", figures(outcome), command)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
