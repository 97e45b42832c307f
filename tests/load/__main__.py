"""python -m tests.load knee | soak: chat traffic on everything that runs; writes figures, plots and Locust's reports.

``knee`` adds conversations until reads are late, for one API process, two and three. ``soak`` goes on for half an hour
and looks at what grows.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from devservers import results
from tests.chaos.run import log
from tests.chaos.environment import missing
from tests.load import knee, soak


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    chosen = parser.add_subparsers(dest="what", required=True)
    steps = chosen.add_parser("knee")
    steps.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    steps.add_argument("--conversations", type=int, nargs="+", default=knee.STEPS)
    steps.add_argument("--seconds", type=float, default=20)
    long = chosen.add_parser("soak")
    long.add_argument("--minutes", type=float, default=30)
    long.add_argument("--conversations", type=int, default=soak.CONVERSATIONS)
    asked = parser.parse_args()
    if reason := missing():
        parser.error(f"no load without real servers: {reason}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops what it started, as Ctrl-C does
    folder = Path(tempfile.mkdtemp(prefix=f"rapport-{asked.what}-"))
    log(f"logs and Locust's reports are in {folder}")
    if asked.what == "knee":
        figures = knee.measured(folder, asked.workers, asked.conversations, asked.seconds)
    else:
        figures = soak.measured(folder, asked.minutes, asked.conversations)
    results.write(f"load_{asked.what}", figures, " ".join(["python -m tests.load", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
