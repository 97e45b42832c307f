"""Data locations of the access log: its rows, and the streams in the control Redis from which they come."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from featurestore.accesslog.batches import BadBatch, Batch, decode
from featurestore.accesslog.models import AccessRecord
from featurestore.accesslog.services import pseudonymise_records
from featurestore.accesslog.stream import (
    CONSUMER_TIMEOUT_S,
    KEY,
    QUARANTINE_KEY,
    RecordStream,
    StreamEntry,
    StreamUnavailable,
    open_stream,
)
from featurestore.clock import moment
from featurestore.locations import (
    ErasePage,
    Item,
    Kind,
    LocationUnavailable,
    Page,
    Person,
    Proof,
    Storage,
    registry,
)
from featurestore.row_locations import RowLocation

CALL_ENTRIES = 500
WRITTEN_WITHIN = timedelta(minutes=1)
"""How long an entry of the stream waits at most, while a consumer runs."""


class AccessRecordLocation(RowLocation):
    """Access records: the proof of who read what. They stay with a pseudonym until retention deletes them."""

    name, title, category = "access_records", "Access records", "read of your data"
    model = AccessRecord
    derived_from = ("access_stream",)
    erased_after = ("access_stream", "permissions")

    def rows(self, person: Person) -> QuerySet[AccessRecord]:
        found = AccessRecord.objects.filter(subject__in=person.subjects).select_related("context")
        if person.sources is not None:
            return found.none()
        return found if person.purposes is None else found.filter(context__purpose__in=person.purposes)

    def traces(self, person: Person) -> QuerySet[AccessRecord]:
        found = self.rows(person)
        return found if person.whole else found.none()

    def item(self, row: AccessRecord) -> Item:
        context = row.context
        return Item(self.category, context.client, row.at, read_of(context, context.given, context.withheld))

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        return pseudonymise_records(keys)


class AccessStreamLocation:
    """Streams of batches: one that the consumer empties each second, and one of quarantined batches.

    An entry has the reads of many customers, so that it can't be erased for one before it is written. Of a quarantined
    one nothing will be written: it is deleted. A cursor is the stream and the id of the entry that was last.
    """

    name, title = "access_stream", "Streams of access records"
    stored_in = (Storage(Kind.CONTROL_KEY, KEY), Storage(Kind.CONTROL_KEY, QUARANTINE_KEY))
    personal_data = "Access records that are not in the database yet."
    erased_by = "The consumer writes and deletes them within seconds; erasure deletes quarantined ones."
    derived_from: tuple[str, ...] = ()
    erased_after: tuple[str, ...] = ()

    def gone_within(self) -> timedelta:
        return WRITTEN_WITHIN

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        key, last, skipped = _parse(after)
        items: list[Item] = []
        with reached_stream() as stream:
            entries = stream.after(key, last, CALL_ENTRIES)
        for entry in entries:
            for number, item in enumerate(_items(person, entry)):
                if number >= skipped:
                    items.append(item)
                    if len(items) == limit:
                        return Page(items, f"{key} {last} {number + 1}")
            last, skipped = entry.id.decode(), 0
        return Page(items, _next(key, last, len(entries) == CALL_ENTRIES))

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        key, last, _ = _parse(after)
        with reached_stream() as stream:
            entries = stream.after(key, last, CALL_ENTRIES)
            found = [entry.id for entry in entries if _holds(person, entry)]
            if key == QUARANTINE_KEY and found:
                stream.delete_quarantined(found)
        cursor = _next(key, entries[-1].id.decode() if entries else last, len(entries) == CALL_ENTRIES)
        return ErasePage(len(found), 0, cursor) if key == QUARANTINE_KEY else ErasePage(0, len(found), cursor)

    def pause(self, person: Person, actor: str, reason: str) -> int:
        return 0

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        key, last, _ = _parse(after)
        with reached_stream() as stream:
            entries = stream.after(key, last, CALL_ENTRIES)
        unreadable = sum(_batch(entry) is None for entry in entries)
        cursor = _next(key, entries[-1].id.decode() if entries else last, len(entries) == CALL_ENTRIES)
        return Proof(sum(_holds(person, entry) for entry in entries), len(entries), unreadable, cursor)


def read_of(context: Any, given: Sequence[str], withheld: dict[str, str]) -> dict[str, Any]:
    """Who read what for what, without the id of a credential."""
    return {
        "reader": context.client,
        "service": context.service,
        "purpose": context.purpose,
        "views_given": list(given),
        "views_withheld": withheld,
    }


def _items(person: Person, entry: StreamEntry) -> Iterator[Item]:
    batch = _batch(entry)
    if batch is None or person.sources is not None:
        return
    for read in batch.reads:
        context = batch.contexts[read.context]
        if read.subject in person.subjects and (person.purposes is None or context.purpose in person.purposes):
            data = read_of(context, context.given, context.withheld)
            yield Item(AccessRecordLocation.category, context.client, moment(read.at_ms), data)


def _batch(entry: StreamEntry) -> Batch | None:
    try:
        return decode(entry.raw)
    except BadBatch:
        return None


def _holds(person: Person, entry: StreamEntry) -> bool:
    return person.whole and any(subject.encode() in entry.raw for subject in person.subjects)


def _parse(after: str | None) -> tuple[str, str, int]:
    key, last, skipped = after.split(" ") if after else (KEY, "0-0", "0")
    return key, last, int(skipped)


def _next(key: str, last: str, is_full: bool) -> str | None:
    """The cursor after a page: in the same stream if it was full, else in the next one."""
    if is_full:
        return f"{key} {last} 0"
    return f"{QUARANTINE_KEY} 0-0 0" if key == KEY else None


@contextmanager
def reached_stream() -> Iterator[RecordStream]:
    """The streams of this installation; errors of a control Redis that does not answer, as LocationUnavailable."""
    try:
        with open_stream(CONSUMER_TIMEOUT_S) as stream:
            yield stream
    except StreamUnavailable as error:
        raise LocationUnavailable(f"the control Redis does not answer: {error}. Is it running?") from error


registry.register(AccessRecordLocation(), AccessStreamLocation())
