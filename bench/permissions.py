"""Permissions a second that the store verifier publishes to an emptied Redis, from a database of many customers.

    python -m bench.permissions [--customers 100000] [--database postgresql://...]

The database is SQLite unless another, empty one is named. Every customer allows three purposes. Writes no results file:
it prints a figure that ``bench.streaming`` records (``permissions_filled_per_s``), which runs it as a process.
"""

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

PURPOSES = 3
EXPIRY_MS = 2_000
BATCH = 5_000


def filled_per_s(customers: int, folder: Path, database: str, store_url: str) -> float:
    """Permissions put a second; imports Django, so call it once a process."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "adminsite.settings",
        "RAPPORT_DATABASE_URL": database or f"sqlite:///{folder / 'filling.sqlite3'}",
        "RAPPORT_STORE_URL": store_url,
        "RAPPORT_LOG_LEVEL": "WARNING",
    }
    import django

    django.setup()
    from django.core.management import call_command

    from featurestore.consent.models import ChangeSequence, CurrentPermission, Purpose, SubjectVersion
    from featurestore.consent.vouching.node_verifier import NodeVerifier, VerifierState
    from featurestore.customers.models import Customer
    from featurestore.identity import subject_of
    from featurestore.store.configured import store

    call_command("migrate", verbosity=0)
    since = datetime.now(UTC) - timedelta(days=30)
    names = [f"filling-{i}" for i in range(PURPOSES)]
    Purpose.objects.bulk_create([Purpose(name=name, title=name, lawful_basis="consent") for name in names])
    purposes = list(Purpose.objects.filter(name__in=names))
    for start in range(0, customers, BATCH):
        numbers = range(start, min(start + BATCH, customers))
        made = [
            Customer(customer_id=f"C{n}", subject=subject_of(f"C{n}", b"bench"), region="EU", brand="b", since=since)
            for n in numbers
        ]
        Customer.objects.bulk_create(made)
        rows = Customer.objects.in_bulk([one.customer_id for one in made], field_name="customer_id")
        SubjectVersion.objects.bulk_create(
            [SubjectVersion(subject=one.subject, sequence=n + 1) for n, one in zip(numbers, made, strict=True)]
        )
        CurrentPermission.objects.bulk_create(
            CurrentPermission(
                customer=rows[f"C{n}"], purpose=purpose, allowed=True, grant_id=n + 1, since=since, sequence=n + 1
            )
            for n in numbers
            for purpose in purposes
        )
    ChangeSequence.objects.filter(pk=1).update(sequence=customers)
    (node,) = store().nodes()
    clock_s = 0.0
    verifier = NodeVerifier(node, EXPIRY_MS, clock=lambda: clock_s)
    assert verifier.lease.hold()
    clock_s += 2 * EXPIRY_MS / 1000  # the vouch key of any other run has expired
    began_s = time.monotonic()
    state = verifier.step()
    assert state is VerifierState.VOUCHING, state
    return customers / (time.monotonic() - began_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--database", default="")
    parser.add_argument("--store", default="", help="the URL of an empty Redis; its own unless named")
    chosen = parser.parse_args()
    from devservers.redis_server import RedisServer

    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder) / "redis")
        server.start()
        try:
            rate = filled_per_s(chosen.customers, Path(folder), chosen.database, chosen.store or server.url)
        finally:
            server.stop()
    print(f"{rate:.0f}")


if __name__ == "__main__":
    main()
