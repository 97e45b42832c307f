"""Command of the load tests: python -m tests.load knee | soak; writes figures, plots and Locust's reports.

``knee`` adds conversations until reads are late, for one, two and three API processes. ``soak`` runs for half an hour
and measures memory.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from devservers import results
from tests.chaos.environment import missing_servers
from tests.chaos.run import log
from tests.load import knee, soak


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    knee_parser = commands.add_parser("knee")
    knee_parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    knee_parser.add_argument("--conversations", type=int, nargs="+", default=knee.STEPS)
    knee_parser.add_argument("--seconds", type=float, default=20)
    soak_parser = commands.add_parser("soak")
    soak_parser.add_argument("--minutes", type=float, default=30)
    soak_parser.add_argument("--conversations", type=int, default=soak.CONVERSATIONS)
    arguments = parser.parse_args()
    if reason := missing_servers():
        parser.error(f"load tests need real servers: {reason}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops every process, as Ctrl-C does
    folder = Path(tempfile.mkdtemp(prefix=f"rapport-{arguments.command}-"))
    log(f"logs and Locust's reports are in {folder}")
    if arguments.command == "knee":
        figures = knee.measure(folder, arguments.workers, arguments.conversations, arguments.seconds)
    else:
        figures = soak.measure(folder, arguments.minutes, arguments.conversations)
    results.write(f"load_{arguments.command}", figures, " ".join(["python -m tests.load", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
