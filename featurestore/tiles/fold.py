"""The fold: events of one subject into its record, under its grants. Pure.

Whatever no grant holds is dropped here, so a fold is also a purge.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from featurestore.definitions.source import Event
from featurestore.definitions.view import FeatureView
from featurestore.permission import PurposePermission
from featurestore.tiles import deduplication
from featurestore.tiles.record import Record, StoredTiles, layout_id_of
from featurestore.tiles.resolutions import place
from featurestore.tiles.state_cells import States
from featurestore.tiles.view_codec import PackedTiles, Tiles, ViewCodec, layout_id_in


class Arrival(NamedTuple):
    """An event with its place in Kafka."""

    offset: int
    kafka_ms: int
    event: Event


class SourceFold:
    """Folds the events of one source into the states of the views that it feeds."""

    def __init__(self, views: Iterable[FeatureView]):
        self.views = [ViewFold(view) for view in views]

    def fold_events(
        self,
        record: Record,
        arrivals: Sequence[Arrival],
        grants: Mapping[str, PurposePermission],
        *,
        coverage_starts_ms: Mapping[int, int],
        counts: Counter[str],
    ) -> "FoldResult":
        """The record after arrivals in the order of their offsets; those up to ``record.offset`` are skipped.

        ``grants`` has the purposes that may use this subject's values now; what others have kept is dropped.
        ``coverage_starts_ms`` says for each view's fingerprint since when its partition folds it. ``counts`` takes what became
        of the events: events, skipped, duplicate, denied, late, expired, unchecked. The record given is not changed.
        """
        live = [
            (view, own) for view in self.views if (own := view.foldings(record, grants, coverage_starts_ms, arrivals))
        ]
        known = record.identities if live else b""
        offset = record.offset
        for offset_, kafka_ms, event in arrivals:
            if offset_ <= offset:
                counts["skipped"] += 1
                continue
            offset = offset_
            counts["events"] += 1
            admitted, takers = False, []
            for view, own in live:
                changes = None
                for folding in own:
                    if event.time_ms >= folding.from_ms and kafka_ms >= folding.since_ms:
                        admitted = True
                        if changes is None:
                            changes = view.changes(event)
                        if changes:
                            takers.append((folding, changes))
            if not takers:
                if not admitted:
                    counts["denied"] += 1
                continue  # or no view has a use for it
            if deduplication.knows(known, event.event_id_hash):
                counts["duplicate"] += 1
                continue
            time_s = event.time_ms // 1000
            if not deduplication.remembers(known, time_s, event.event_id_hash):
                counts["unchecked"] += 1
            known = deduplication.with_one(known, time_s, event.event_id_hash)
            for fate in {folding.add(event, changes) for folding, changes in takers} - NOTHING:
                counts[fate] += 1
        totals: dict[bytes, bytes] = {}
        views = {view.name: kept for view, own in live if (kept := together(own, totals))}
        return FoldResult(Record(offset, known if views else b"", views), totals)


class FoldResult(NamedTuple):
    """What a fold leaves. ``totals`` has what the store serves of the tiles that the fold changed, by their bytes."""

    record: Record
    totals: dict[bytes, bytes]


NOTHING = {""}
Change = tuple[States, Any]  # states that an event changes, and the value that it has for them


class ViewFold:
    """One view, compiled for folding."""

    def __init__(self, view: FeatureView):
        self.view, self.name, self.purposes = view, view.name, sorted(view.purposes)
        self.codec = ViewCodec(view)
        by_filters: dict[Any, list[tuple[States, int | None]]] = {}
        for states, column in zip(self.codec.states, view.columns, strict=True):
            by_filters.setdefault(column.filters, []).append((states, column.position))
        self.groups = list(by_filters.items())

    def changes(self, event: Event) -> list[Change]:
        """What an event changes. Each filter is asked once, whatever the number of its columns."""
        values, found = event.values, []
        for filters, columns in self.groups:
            for at, allowed in filters:
                if values[at] not in allowed:
                    break
            else:
                for states, position in columns:
                    value = None if position is None else values[position]
                    if value is not None or position is None:
                        found.append((states, value))
        return found

    def foldings(
        self,
        record: Record,
        grants: Mapping[str, PurposePermission],
        coverage_starts_ms: Mapping[int, int],
        arrivals: Sequence[Arrival],
    ) -> list["ViewUpdate"]:
        """What to fold into. Purposes that hold the same tiles, and will after these arrivals, share one folding."""
        coverage_start_ms = coverage_starts_ms.get(self.view.fingerprint)
        if coverage_start_ms is None:
            return []  # not born on this partition yet: nothing to keep
        layout_id = layout_id_of(self.view.fingerprint, coverage_start_ms)
        kept = record.views.get(self.name, ())
        own: list[ViewUpdate] = []
        for purpose in self.purposes:
            if (grant := grants.get(purpose)) is None:
                continue
            before = b""
            for one in kept:
                if one.grants.get(purpose) == grant.grant_id and layout_id_in(one.tiles) == layout_id:
                    before = one.tiles
            folding = ViewUpdate(self.codec, layout_id, grant, coverage_start_ms, before)
            for other in own:
                if other.is_twin(folding, arrivals):
                    other.grants[purpose] = grant.grant_id
                    break
            else:
                folding.grants[purpose] = grant.grant_id
                own.append(folding)
        return own


class ViewUpdate:
    """A view's tiles while events are folded into them. ``grants`` are the purposes that hold them."""

    def __init__(
        self, codec: ViewCodec, layout_id: int, grant: PurposePermission, coverage_start_ms: int, before: bytes
    ):
        self.codec, self.layout_id, self.before = codec, layout_id, before
        self.grants: dict[str, int] = {}
        self.since_ms, self.from_ms = grant.since_ms, max(grant.since_ms, coverage_start_ms)
        self.tiles: Tiles | None = None  # open_view by the first event
        self.before_s = 0

    def is_twin(self, other: "ViewUpdate", arrivals: Sequence[Arrival]) -> bool:
        """Whether both hold the same and would take the same of some arrivals."""
        if self.before != other.before:
            return False
        if self.since_ms == other.since_ms:
            return True
        from_ms = max(self.from_ms, other.from_ms)
        return all(event.time_ms >= from_ms and kafka_ms >= from_ms for _, kafka_ms, event in arrivals)

    def add(self, event: Event, changes: Iterable[Change]) -> str:
        """Fold one event; tells "late" or "expired" for what came out of order, "" otherwise."""
        if self.tiles is None:
            self.tiles = self.codec.open(self.before) if self.before else self.codec.empty()
            self.before_s = self.tiles.newest_s
        tiles, time_ms = self.tiles, event.time_ms
        time_s = time_ms // 1000
        fate = "" if time_s >= tiles.newest_s else "late"
        tiles.newest_s = max(tiles.newest_s, time_s)
        start = place(self.codec.resolutions, time_s, tiles.newest_s)
        if start is None:
            return "expired"
        row, cells = self.codec.row(tiles, start), tiles.cells
        for states, value in changes:
            states.put(
                cells, row, states.aggregation.update(states.get(cells, row), value, time_ms, event.event_id_hash)
            )
        return fate

    def done(self) -> PackedTiles | None:
        """The tiles, if an event changed them."""
        if self.tiles is None or not self.tiles.starts:
            return None
        if len(self.tiles.starts) > 1 or self.before:  # else it has just been placed
            self.codec.coarsen(self.tiles, self.before_s)
        return self.codec.pack(self.layout_id, self.tiles)


def together(foldings: Iterable[ViewUpdate], totals: dict[bytes, bytes]) -> list[StoredTiles]:
    """What foldings leave, once for all purposes that hold the same, in their order; ``totals`` takes what is new."""
    kept: dict[bytes, dict[str, int]] = {}
    for folding in foldings:
        tiles = folding.before
        if packed := folding.done():
            tiles = packed.tiles
            totals[tiles] = packed.totals
        if tiles in kept:  # two that came to be the same
            kept[tiles] = dict(sorted((kept[tiles] | folding.grants).items()))
        elif tiles:
            kept[tiles] = folding.grants
    return [StoredTiles(grants, tiles) for tiles, grants in kept.items()]
