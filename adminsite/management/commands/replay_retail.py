"""Command that replays Online Retail: registers its customers with consents, sends each row as an order event."""

import gzip
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.config import settings
from featurestore.consent.errors import ConsentError
from featurestore.consent.models import Notice, Purpose
from featurestore.consent.permission_derivation import Basis, Decision
from featurestore.consent.selectors import outbox_backlog
from featurestore.consent.services import Choice, record_decisions
from featurestore.ingest.bulk_sender import BulkEventSender, NotDelivered
from featurestore.installed_catalog import catalog
from featurestore.jobs.batches import batches
from featurestore.profiles.services import Registration, register_many

BRAND = "online-retail"
LONGEST_REGION = 32
PROGRESS_S = 2.0
PER_TRANSACTION = 200
"""Customers or choices. Short, because SQLite has one writer at a time, and the store verifier's lease waits for it."""


class Command(BaseCommand):
    help = "Replay the UCI Online Retail CSV (plain or .gz) as order events. A second replay in a generation adds up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--shift", type=shift, default=0, help='"now" moves all times so that the last sale is now; or seconds'
        )
        parser.add_argument(
            "--from-line", type=int, default=0, help="resume after a failure, whose message names the line"
        )

    def handle(self, *args: Any, file: Path, shift: int | None, from_line: int, **options: Any) -> None:
        retail = data_set()
        try:
            found = retail.survey(rows_of(retail, file))
        except (OSError, retail.WrongFile) as error:
            raise CommandError(f"{file}: {error}") from error
        for reason, count in found.skipped.most_common():
            self.stderr.write(f"{count:,} rows skipped: {reason}")
        moved = datetime.now(UTC).replace(microsecond=0) - found.last if shift is None else timedelta(seconds=shift)
        new = register_with_consents(found.countries, found.first + moved)
        self.stderr.write(f"{len(found.countries):,} customers, {new:,} new; consents since {found.first + moved}")
        self.send(retail, file, moved, from_line)

    def send(self, retail: ModuleType, file: Path, moved: timedelta, from_line: int) -> None:
        shift_s = moved // timedelta(seconds=1)
        origin = f"retail/{file.name}?shift_s={shift_s}"
        sender, began, shown_s = BulkEventSender(settings()), time.monotonic(), 0.0
        try:
            for row in rows_of(retail, file):
                if isinstance(row, retail.SkippedRow) or row.line < from_line:
                    continue
                sender.send(
                    retail.orders,
                    row.customer_id,
                    id=str(row.line),
                    origin=origin,
                    time=row.time + moved,
                    data=row.data,
                    reference=row.line,
                )
                if (took_s := time.monotonic() - began) - shown_s > PROGRESS_S:
                    shown_s = took_s
                    self.stderr.write(f"line {row.line:,}: {sender.sent:,} events, {sender.sent / took_s:,.0f}/s")
            sender.flush()
        except NotDelivered as error:
            raise CommandError(f"{error} Resume with --shift {shift_s} --from-line {error.first}") from error
        self.stdout.write(f"{sender.sent:,} events in {time.monotonic() - began:.1f} s")


def shift(text: str) -> int | None:
    """Seconds; None for "now"."""
    if text == "now":
        return None
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError('"now", or a whole number of seconds') from None


def data_set() -> ModuleType:
    """The module ``retail`` of the catalog, which reads the file. Raises CommandError."""
    retail = catalog().part("retail")
    if retail is None:
        raise CommandError(
            f"The catalog {catalog().module} has no module `retail`: Online Retail belongs to the shipped catalog. "
            "Send your own events to Kafka, or through the API."
        )
    return retail


def rows_of(retail: ModuleType, file: Path) -> Iterator[Any]:
    """The rows of a CSV, compressed or not. Its descriptions may be in any encoding: they are ignored."""
    open_file = gzip.open if file.suffix == ".gz" else open
    with open_file(file, "rt", encoding="utf-8-sig", errors="replace", newline="") as lines:
        yield from retail.sales(lines)


def register_with_consents(countries: Mapping[str, str], since: datetime) -> int:
    """Register the customers with every consent since the first sale; how many were new.

    Raises CommandError while the store lacks a permission: events processed before it would be denied.
    """
    purposes = Purpose.objects.filter(active=True, lawful_basis=Basis.CONSENT)
    notices = {purpose.name: Notice.objects.filter(purposes=purpose).first() for purpose in purposes}
    if not notices or not all(notices.values()):
        raise CommandError("No notice explains every purpose that needs consent. Run manage.py seed first.")
    registrations = [
        Registration(customer_id, country[:LONGEST_REGION], BRAND, since, history_follows=True)
        for customer_id, country in countries.items()
    ]
    new = sum(register_many(batch) for batch in batches(registrations, PER_TRANSACTION))
    given = partial(Choice, decision=Decision.GIVEN, method="import", actor="replay_retail")
    choices = [
        given(customer_id, purpose, notice=notice.reference, since=since, history_follows=True)
        for customer_id in countries
        for purpose, notice in notices.items()
        if notice
    ]
    try:
        for batch in batches(choices, PER_TRANSACTION):
            record_decisions(batch)
    except ConsentError as error:
        raise CommandError(f"{error} Replay into a new database.") from error
    if waiting := outbox_backlog().unpublished:
        raise CommandError(
            f"{waiting:,} permissions are not in the store yet. Start manage.py verify_store, then repeat this."
        )
    return new
