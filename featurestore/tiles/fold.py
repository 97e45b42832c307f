"""Fold of one subject's events into its state record, under its permissions. Pure.

State that no permission holds any more is dropped here, so that a fold is also a purge. A paused permission holds the
state of its grant, and counts nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from featurestore.definitions.source import Event
from featurestore.definitions.view import FeatureView
from featurestore.permission import PurposePermission
from featurestore.tiles import deduplication
from featurestore.tiles.layout_id import layout_id_in, layout_id_of
from featurestore.tiles.resolutions import tile_start
from featurestore.tiles.state_cells import StateCells
from featurestore.tiles.state_record import StateRecord, StoredTiles
from featurestore.tiles.view_codec import Tiles, ViewCodec


class Arrival(NamedTuple):
    """Event with its offset in its partition and the time at which Kafka first recorded it."""

    offset: int
    kafka_ms: int
    event: Event


class FoldResult(NamedTuple):
    """State record after a fold. ``suffix_aggregates[tiles]``: of each tiles' bytes that the fold made."""

    record: StateRecord
    suffix_aggregates: dict[bytes, bytes]


class SourceFold:
    """Fold of the events of one source into the views that it feeds."""

    def __init__(self, views: Iterable[FeatureView]):
        self.views = [ViewFold(view) for view in views]

    def fold_events(
        self,
        record: StateRecord,
        arrivals: Sequence[Arrival],
        permissions: Mapping[str, PurposePermission],
        *,
        coverage_starts_ms: Mapping[int, int],
        counts: Counter[str],
    ) -> FoldResult:
        """The record after arrivals in the order of their offsets; those up to ``record.offset`` are skipped.

        ``permissions`` has the purposes that may use this subject's values now and those that are paused
        (featurestore.permission.held): for the paused ones nothing is folded. Tiles of other purposes are dropped.
        ``coverage_starts_ms`` has, by a view's fingerprint, since when the partition folds the view. ``counts`` is
        raised by the outcomes of the events: events, skipped, duplicate, denied, late, expired, unchecked; and by the
        number of views that were cut. The record given is not changed.
        """
        live = [
            (view, updates)
            for view in self.views
            if (updates := view.updates(record, permissions, coverage_starts_ms, arrivals))
        ]
        window = record.deduplication_window if live else b""
        offset = record.offset
        for offset_, kafka_ms, event in arrivals:
            if offset_ <= offset:
                counts["skipped"] += 1
                continue
            offset = offset_
            counts["events"] += 1
            allowed, to_change = False, []
            for view, updates in live:
                changes = None
                for update in updates:
                    if event.time_ms >= update.from_ms and kafka_ms >= update.since_ms:
                        allowed = True
                        if changes is None:
                            changes = view.changes(event)
                        if changes:
                            to_change.append((update, changes))
            if not to_change:
                if not allowed:
                    counts["denied"] += 1
                continue  # or no view aggregates it
            entry = deduplication.entry_of(event.time_ms // 1000, event.event_id_hash)
            if deduplication.contains(window, entry):
                counts["duplicate"] += 1
                continue
            checked = deduplication.covers(window, entry)
            if not checked:
                counts["unchecked"] += 1
            window = deduplication.add(window, entry)
            outcomes = {update.add(event, changes, checked) for update, changes in to_change}
            if outcomes != IN_ORDER:
                counts.update(outcomes - IN_ORDER)
        suffix_aggregates: dict[bytes, bytes] = {}
        views = {
            view.name: stored for view, updates in live if (stored := store_once(updates, suffix_aggregates, counts))
        }
        return FoldResult(StateRecord(offset, window if views else b"", views), suffix_aggregates)


IN_ORDER = {""}
NEVER_MS = 2**63  # of a paused permission: no event counts from then on
Change = tuple[StateCells, Any]  # states that an event changes, and the value that it has for them


class ViewFold:
    """Fold of one view: its aggregations, grouped by their filters."""

    def __init__(self, view: FeatureView):
        self.view, self.name, self.purposes = view, view.name, sorted(view.purposes)
        self.codec = ViewCodec(view)
        by_filters: dict[Any, list[tuple[StateCells, int | None]]] = {}
        for states, (_, position, filters) in zip(self.codec.state_cells, view.aggregations, strict=True):
            by_filters.setdefault(filters, []).append((states, position))
        self.groups = list(by_filters.items())

    def changes(self, event: Event) -> list[Change]:
        """The changes that an event makes. Each filter is applied once, however many aggregations it has."""
        values, found = event.values, []
        for filters, group in self.groups:
            for position, allowed in filters:
                if values[position] not in allowed:
                    break
            else:
                for states, position in group:
                    value = None if position is None else values[position]
                    if value is not None or position is None or states.aggregation.counts_null:
                        found.append((states, value))
        return found

    def updates(
        self,
        record: StateRecord,
        permissions: Mapping[str, PurposePermission],
        coverage_starts_ms: Mapping[int, int],
        arrivals: Sequence[Arrival],
    ) -> list["ViewUpdate"]:
        """Updates of the view, one for all purposes whose states are equal and count the same of these arrivals."""
        coverage_start_ms = coverage_starts_ms.get(self.view.fingerprint)
        if coverage_start_ms is None:
            return []  # this partition does not fold the view yet
        layout_id = layout_id_of(self.view.fingerprint, coverage_start_ms)
        stored = record.views.get(self.name, ())
        updates: list[ViewUpdate] = []
        for purpose in self.purposes:
            if (permission := permissions.get(purpose)) is None:
                continue
            before, unchecked_s = b"", 0
            for one in stored:
                if one.grant_ids.get(purpose) == permission.grant_id and layout_id_in(one.tiles) == layout_id:
                    before, unchecked_s = one.tiles, one.unchecked_s
            update = ViewUpdate(self.codec, layout_id, permission, coverage_start_ms, before, unchecked_s)
            for other in updates:
                if other.is_equal(update, arrivals):
                    other.grant_ids[purpose] = permission.grant_id
                    break
            else:
                update.grant_ids[purpose] = permission.grant_id
                updates.append(update)
        return updates


class ViewUpdate:
    """Tiles of a view while events are folded into them. ``grant_ids`` has the purposes that hold them."""

    def __init__(
        self,
        codec: ViewCodec,
        layout_id: int,
        permission: PurposePermission,
        coverage_start_ms: int,
        before: bytes,
        unchecked_s: int,
    ):
        self.codec, self.layout_id, self.before = codec, layout_id, before
        self.unchecked_s = unchecked_s
        self.grant_ids: dict[str, int] = {}
        since_ms = NEVER_MS if permission.paused else permission.since_ms
        self.since_ms, self.from_ms = since_ms, max(since_ms, coverage_start_ms)
        self.tiles: Tiles | None = None  # unpacked by the first event
        self.before_s = 0  # the newest counted event's second before this update

    def is_equal(self, other: "ViewUpdate", arrivals: Sequence[Arrival]) -> bool:
        """Whether both have equal states and count the same of some arrivals."""
        if self.before != other.before or self.unchecked_s != other.unchecked_s:
            return False
        if self.since_ms == other.since_ms:
            return True
        from_ms = max(self.from_ms, other.from_ms)
        return all(event.time_ms >= from_ms and kafka_ms >= from_ms for _, kafka_ms, event in arrivals)

    def add(self, event: Event, changes: Iterable[Change], checked: bool) -> str:
        """Fold one event. The outcome: "late" or "expired" if it came out of order, otherwise "".

        ``checked`` tells whether it is known to be no duplicate.
        """
        if self.tiles is None:
            self.tiles = self.codec.decode(self.before) if self.before else self.codec.empty()
            self.before_s = self.tiles.newest_s
        tiles, time_ms, event_id_hash = self.tiles, event.time_ms, event.event_id_hash
        time_s = time_ms // 1000
        outcome = "" if time_s >= tiles.newest_s else "late"
        tiles.newest_s = max(tiles.newest_s, time_s)
        start = tile_start(self.codec.levels, time_s, tiles.newest_s, tiles.cuts)
        if start is None:
            return "expired"
        if not checked and time_s > self.unchecked_s:
            self.unchecked_s = time_s
        row, cells = self.codec.row(tiles, start), tiles.cells
        for states, value in changes:
            states.put(cells, row, states.aggregation.update(states.get(cells, row), value, time_ms, event_id_hash))
        return outcome

    def stored(self, suffix_aggregates: dict[bytes, bytes], counts: Counter[str]) -> StoredTiles | None:
        """The tiles to store, if there are any.

        If an event changed them, their suffix aggregates are added to ``suffix_aggregates``, and "cut" to ``counts``
        if they were cut (featurestore.tiles.cuts).
        """
        tiles = self.tiles
        if tiles is None or not tiles.starts:
            return StoredTiles(self.grant_ids, self.before, self.unchecked_s) if self.before else None
        if len(tiles.starts) > 1 or self.before:  # a first and only tile has the right start already
            self.codec.coarsen(tiles, self.before_s)
        cuts = tiles.cuts
        encoded = self.codec.encode(self.layout_id, tiles)
        if tiles.cuts is not cuts:
            counts["cut"] += 1
        suffix_aggregates[encoded.tiles] = encoded.suffix_aggregates
        return StoredTiles(self.grant_ids, encoded.tiles, self.unchecked_s)


def store_once(
    updates: Iterable[ViewUpdate], suffix_aggregates: dict[bytes, bytes], counts: Counter[str]
) -> list[StoredTiles]:
    """What ``ViewUpdate.stored`` gives for each update, in their order, once for all purposes that hold equal tiles."""
    found: list[StoredTiles] = []
    for update in updates:
        if (new := update.stored(suffix_aggregates, counts)) is None:
            continue
        for other in found:
            if other.tiles == new.tiles and other.unchecked_s == new.unchecked_s:  # equal since this fold
                other.grant_ids = dict(sorted((other.grant_ids | new.grant_ids).items()))
                break
        else:
            found.append(new)
    return found
