"""The audit log: what it costs a decision, and how long a million entries take to be verified.

    python -m bench.auditlog [--entries 1000000] [--pairs 1000]

In SQLite and PostgreSQL, each step in a process of its own (bench/log_steps.py). Figures of SQLite have it in the name.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from devservers import results
from devservers.installation import NO_SERVER, Installation
from devservers.postgres_server import PostgresServer

PAIRS, ENTRIES = 1_000, 1_000_000


def measured(folder: Path, pairs: int, entries: int) -> dict[str, float]:
    """Figures of both databases, one after the other."""
    server = PostgresServer()
    server.start()
    try:
        server.execute("CREATE DATABASE measured")
        figures = figures_of(folder, server.url_of("measured"), pairs, entries)
    finally:
        server.stop()
        shutil.rmtree(server.folder)
    in_sqlite = figures_of(folder, f"sqlite:///{folder}/measured.sqlite3", pairs, entries)
    return {f"audit_{name}": value for name, value in figures.items()} | {
        f"audit_sqlite_{name}": value for name, value in in_sqlite.items()
    }


def figures_of(folder: Path, database: str, pairs: int, entries: int) -> dict[str, float]:
    """Figures of one empty database."""
    made = Installation(folder, kafka=NO_SERVER, store=f"redis://{NO_SERVER}/0", database=database)
    made.change_settings(log_level="ERROR")
    made.manage("migrate", "--noinput")
    figures: dict[str, float] = {}
    for step, count in (("append", pairs), ("fill", entries), ("verify", entries)):
        figures |= json.loads(made.run("-m", "bench.log_steps", step, str(count)).stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=ENTRIES, help="a multiple of a thousand")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder:
        figures = measured(Path(folder), chosen.pairs, chosen.entries)
    results.report("auditlog", figures, write_it=(chosen.pairs, chosen.entries) == (PAIRS, ENTRIES))


if __name__ == "__main__":
    main()
