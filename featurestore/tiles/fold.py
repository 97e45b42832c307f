"""The fold: events of one subject into its record, under its grants. Pure.

Whatever no grant holds is dropped here, so a fold is also a purge.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from featurestore.definitions.source import Event
from featurestore.definitions.view import FeatureView
from featurestore.permission import Grant
from featurestore.tiles.ladder import Tile, coarsen, in_place, place
from featurestore.tiles.state import SEEN_MOST, SEEN_SPAN_S, Record, ViewState, edition_of, field_name, trimmed

Filters = tuple[tuple[int, frozenset[Any]], ...]
Update = Callable[[Any, Any, int, int], Any]


class Arrival(NamedTuple):
    """An event with its place in Kafka."""

    offset: int
    kafka_ms: int
    event: Event


class SourceFold:
    """Folds the events of one source into the states of the views that it feeds."""

    def __init__(self, views: Iterable[FeatureView]):
        self.targets = [(ViewFold(view), sorted(view.purposes)) for view in views]

    def fold(
        self,
        record: Record,
        arrivals: Sequence[Arrival],
        grants: Mapping[str, Grant],
        *,
        births_ms: Mapping[int, int],
        counts: Counter[str],
    ) -> Record:
        """The record after arrivals in the order of their offsets; those up to ``record.offset`` are skipped.

        ``grants`` has the purposes that may use this subject's values now; what others have kept is dropped.
        ``births_ms`` says for each view's fingerprint since when its partition folds it. ``counts`` takes what became
        of the events: events, skipped, duplicate, denied, late, expired, unchecked. The record given is not changed.
        """
        live = self._live(record, arrivals, grants, births_ms)
        seen = dict(record.seen) if live else {}
        known = _Known(seen)
        offset = record.offset
        for offset_, kafka_ms, event in arrivals:
            if offset_ <= offset:
                counts["skipped"] += 1
                continue
            offset = offset_
            counts["events"] += 1
            due = [fold for fold in live if event.time_ms >= fold.from_ms and kafka_ms >= fold.since_ms]
            if not due:
                counts["denied"] += 1
            elif event.tie in seen:
                counts["duplicate"] += 1
            else:
                time_s = event.time_ms // 1000
                if not known.remembers(time_s, event.tie):
                    counts["unchecked"] += 1
                seen[event.tie] = time_s
                known.newest_s = max(known.newest_s, time_s)
                late = {fold.add(event) for fold in due}
                for fate in late - {""}:
                    counts[fate] += 1
        views = {name: state for fold in live for name, state in fold.done()}
        return Record(offset, trimmed(seen) if views else {}, dict(sorted(views.items())))

    def _live(
        self,
        record: Record,
        arrivals: Sequence[Arrival],
        grants: Mapping[str, Grant],
        births_ms: Mapping[int, int],
    ) -> list["_Folding"]:
        """What to fold into. Purposes whose states are alike, and stay so by these arrivals, share one folding."""
        earliest_ms = min((min(kafka_ms, event.time_ms) for _, kafka_ms, event in arrivals), default=0)
        live: list[_Folding] = []
        for view_fold, purposes in self.targets:
            birth_ms = births_ms.get(view_fold.view.fingerprint)
            if birth_ms is None:
                continue  # not born on this partition yet: nothing to keep
            own: list[_Folding] = []
            for purpose in purposes:
                if (grant := grants.get(purpose)) is None:
                    continue
                name = field_name(view_fold.view.name, purpose)
                folding = _Folding(view_fold, grant, birth_ms, record.views.get(name))
                twin = next((other for other in own if other.is_twin(folding, earliest_ms)), None)
                if twin is None:
                    own.append(folding)
                (twin or folding).holders.append((name, grant.grant))
            live += own
        return live


class ViewFold:
    """One view, compiled for folding."""

    def __init__(self, view: FeatureView):
        self.view = view
        self.ladder = view.ladder
        self.aggregations = [column.aggregation for column in view.columns]
        self.zeros = [aggregation.zero() for aggregation in self.aggregations]
        columns: dict[Filters, list[tuple[int, Update, int | None]]] = {}
        for i, column in enumerate(view.columns, 1):
            columns.setdefault(column.filters, []).append((i, column.aggregation.update, column.position))
        self.groups = list(columns.items())

    def add(self, tile: Tile, event: Event) -> None:
        """Update a tile, in place, with an event. Each filter is asked once, whatever the number of its columns."""
        _, time_ms, tie, values = event
        for filters, columns in self.groups:
            for at, allowed in filters:
                if values[at] not in allowed:
                    break
            else:
                for i, update, position in columns:
                    value = None if position is None else values[position]
                    if value is not None or position is None:
                        tile[i] = update(tile[i], value, time_ms, tie)


class _Folding:
    """A view's state while events are folded into it. ``holders`` are the fields and grants that it is the state of."""

    def __init__(self, view_fold: ViewFold, grant: Grant, birth_ms: int, state: ViewState | None):
        self.view_fold, self.holders = view_fold, list[tuple[str, int]]()
        self.since_ms, self.from_ms = grant.since_ms, max(grant.since_ms, birth_ms)
        self.edition = edition_of(view_fold.view.fingerprint, birth_ms)
        if state is None or state.grant != grant.grant or state.edition != self.edition:
            state = ViewState(self.edition, grant.grant)
        self.newest_ms = self.before_ms = state.newest_ms
        self.before = state.tiles
        self.tiles = {tile[0]: tile for tile in state.tiles}
        self.own: set[int] = set()  # tiles copied from the record, so that it is left as it was

    def is_twin(self, other: "_Folding", earliest_ms: int) -> bool:
        """Whether both hold the same and would take the same of arrivals none of which is earlier than a time."""
        alike = self.newest_ms == other.newest_ms and self.before == other.before
        return alike and (self.since_ms == other.since_ms or max(self.from_ms, other.from_ms) <= earliest_ms)

    def add(self, event: Event) -> str:
        """Fold one event; tells "late" or "expired" for what came out of order, "" otherwise."""
        fate = "" if event.time_ms >= self.newest_ms else "late"
        self.newest_ms = max(self.newest_ms, event.time_ms)
        start = place(self.view_fold.ladder, event.time_ms // 1000, self.newest_ms // 1000)
        if start is None:
            return "expired"
        if start not in self.own:
            there = self.tiles.get(start)
            self.tiles[start] = [start, *self.view_fold.zeros] if there is None else there.copy()
            self.own.add(start)
        self.view_fold.add(self.tiles[start], event)
        return fate

    def done(self) -> Iterable[tuple[str, ViewState]]:
        """The state of each holder; none if nothing has counted. Twins share their tiles."""
        if self.tiles:
            view_fold = self.view_fold
            newest_s, placed, starts = self.newest_ms // 1000, self.tiles, sorted(self.tiles)
            if not in_place(starts, view_fold.ladder, self.before_ms // 1000, newest_s):
                placed = coarsen(placed, view_fold.ladder, newest_s, view_fold.aggregations)
                starts = sorted(placed)
            tiles = [placed[start] for start in starts]
            for name, grant in self.holders:
                yield name, ViewState(self.edition, grant, self.newest_ms, tiles)


class _Known:
    """Whether the identities kept would show that an event is a duplicate."""

    def __init__(self, seen: Mapping[int, int]):
        self.newest_s = max(seen.values(), default=0)
        self.full = len(seen) >= SEEN_MOST
        self.oldest = min(((time_s, tie) for tie, time_s in seen.items()), default=(0, 0)) if self.full else (0, 0)

    def remembers(self, time_s: int, tie: int) -> bool:
        return time_s >= self.newest_s - SEEN_SPAN_S and (not self.full or (time_s, tie) >= self.oldest)
