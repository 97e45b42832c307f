"""Data location of the online store: the values of views by subject, and the permission beside them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from struct import error as StructError  # noqa: N812 it is a class
from typing import Any, NamedTuple

import msgspec

from featurestore.clock import database_now, milliseconds, moment
from featurestore.config import settings
from featurestore.consent.outbox.value_requests import value_requests
from featurestore.definitions import FeatureView
from featurestore.identity import partition_of
from featurestore.installed_catalog import catalog
from featurestore.locations import (
    AT_ONCE,
    ErasePage,
    Item,
    Kind,
    LocationUnavailable,
    Page,
    Person,
    Proof,
    Storage,
)
from featurestore.permission import Permission, decode
from featurestore.row_locations import reached_database
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable
from featurestore.tiles.layout_id import layout_id_of
from featurestore.tiles.view_codec import ViewCodec
from featurestore.tiles.view_reader import ReaderClockBehind, WindowQuery, open_view

PERMISSION, RECREATION_MARK = "p", "r"
READ_TIMEOUT_MS = 5_000
UNREADABLE = (StructError, ValueError, IndexError, OverflowError, ReaderClockBehind)


class StoredField(NamedTuple):
    """One field of a subject's hash; of a view's, which purpose it is for, and its view if the catalog has it."""

    subject: str
    name: str
    value: bytes

    @property
    def path(self) -> str:
        return f"{self.subject}/{self.name}"

    @property
    def purpose(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def view(self) -> FeatureView | None:
        return catalog().registry.views.get(self.name.rpartition("/")[0])


class StoreLocation:
    """Hashes of subjects. A view's values are erased when the permission that is stored beside them does not hold them.

    What stays of an erased subject is a denial without any purpose, which another location owns: the versioned denials.
    A cursor is the time of the export, which all its values have, with the subject and field that were last. An export
    waits until the values of an idle subject have been pushed again.
    """

    name, title = "store", "Online store"
    stored_in = (Storage(Kind.STORE_KEY, "fs:{*}"),)
    personal_data = (
        "By subject: the permission, and the packed values of each view and purpose; of an idle one the second of its "
        "last event."
    )
    erased_by = "An erasure or a withdrawal drops the values in the step that stores the denial."
    derived_from = ("permissions", "state_tables")
    erased_after = ("permissions", "state_tables")

    def gone_within(self) -> timedelta:
        return AT_ONCE

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        started, _, last = (after or "").partition(" ")
        with reached_store(), reached_database():
            now_ms = int(started or milliseconds(database_now()))
            wait_for_evicted(person.subjects)
            fields = [field for field in self._fields(person) if field.path > last]
            items = [item_of(field, now_ms) for field in fields[:limit]]
        return Page(items, f"{now_ms} {fields[limit - 1].path}" if len(fields) > limit else None)

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        with reached_store():
            before = len(self._traces(person))
            configured.store().drop_disallowed(dict.fromkeys(person.subjects))
            left = len(self._traces(person))
        return ErasePage(before - left, left, None)

    def pause(self, person: Person, actor: str, reason: str) -> int:
        return 0

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        with reached_store():
            contents = configured.store().contents(person.subjects)
            checked = len(contents) + sum(map(len, contents))
            return Proof(len(self._traces(person)), checked, 0, None)

    def _fields(self, person: Person) -> list[StoredField]:
        """The fields that a call is about, in order. One subject's hash is in memory at a time, and that is bounded."""
        subjects = sorted(person.subjects)
        return [
            field
            for subject, contents in zip(subjects, configured.store().contents(subjects), strict=True)
            for name, value in sorted(contents.items())
            if name != RECREATION_MARK and _is_in_scope(person, field := StoredField(subject, name, value))
        ]

    def _traces(self, person: Person) -> list[StoredField]:
        """The fields without the denial of an erased subject."""
        return [
            field
            for field in self._fields(person)
            if field.name != PERMISSION or (found := _permission(field.value)) is None or found.purposes
        ]


def _is_in_scope(person: Person, field: StoredField) -> bool:
    if person.whole:
        return True
    if field.name == PERMISSION:
        return False
    return person.includes([field.purpose], field.view.source.name if field.view else None)


def _permission(raw: bytes) -> Permission | None:
    """The permission in a field; None if it can't be read."""
    try:
        return decode(raw)
    except msgspec.MsgspecError:
        return None


def wait_for_evicted(subjects: Sequence[str]) -> None:
    """Have the values of evicted subjects pushed again, of paused purposes, too. Raises LocationUnavailable until they
    are.
    """
    stored = zip(subjects, configured.store().read(subjects, [], [], READ_TIMEOUT_MS).subjects, strict=True)
    wanted = [subject for subject, one in stored if one.is_evicted]
    if wanted:
        value_requests().send(wanted)
        raise LocationUnavailable(
            "the customer was idle, and the values are being pushed to the store again: do the stream workers run?"
        )


def item_of(field: StoredField, now_ms: int) -> Item:
    """What a field tells the person: the permission, or a view's values now."""
    if field.name == PERMISSION:
        found = _permission(field.value)
        purposes = {name: _state_of(one) for name, one in found.purposes.items()} if found else {}
        return Item("permission", "your decisions", None, {"purposes": purposes, "readable": found is not None})
    values = _values_of(field, now_ms)
    source = field.view.source.name if field.view else "an earlier definition"
    data = {"view": field.name.rpartition("/")[0], "purpose": field.purpose, "values": values}
    return Item("feature values", source, moment(now_ms), data)


def _state_of(one: Any) -> dict[str, Any]:
    times = {"since": one.since_ms, "until": one.until_ms}
    stated = {name: moment(ms).isoformat() if ms else None for name, ms in times.items()}
    return {"allowed": one.allowed, "paused": one.paused, **stated}


def _values_of(field: StoredField, now_ms: int) -> dict[str, Any] | None:
    """The values of a view's features; None if they are of an earlier definition, or can't be read."""
    view = field.view
    if view is None:
        return None
    key = (view.source.name, partition_of(field.subject, settings().partitions))
    watermark = configured.store().read([field.subject], [], [key], READ_TIMEOUT_MS).subjects[0].node.watermarks[0]
    if watermark is None or (start_ms := watermark.coverage_starts_ms.get(view.fingerprint)) is None:
        return None
    codec = ViewCodec(view)
    try:
        opened = open_view(codec, field.value, layout_id_of(view.fingerprint, start_ms))
        return opened.values(WindowQuery(codec, view.features), now_ms) if opened else None
    except UNREADABLE:
        return None


@contextmanager
def reached_store() -> Iterator[None]:
    """Errors of a store that does not answer, as LocationUnavailable."""
    try:
        yield
    except StoreUnavailable as error:
        raise LocationUnavailable(f"the store does not answer: {error}. Is its Redis running?") from error
