"""Examples for the laws: aggregations with several settings, bound to each kind of field, and events for them."""

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from featurestore.aggregations import (
    Aggregation,
    DecayedCount,
    DecayedSum,
    Kind,
    LastN,
    Quantile,
    SessionCount,
    SessionMeanDuration,
    StdDev,
    TopK,
    Variance,
)
from featurestore.tiles.state_cells import StateCells, state_cells

FIELD = "field"
PLACES = 2
LARGEST = 10**12  # what sources let in
START_MS = 1_750_000_000_000
NOW_MS = START_MS + 400 * 86_400_000

# A class that is not listed has its defaults.
SETTINGS: dict[type[Aggregation], Sequence[dict[str, Any]]] = {
    DecayedCount: [{"half_life": "10s"}, {"half_life": "7d"}],
    DecayedSum: [{"half_life": "10s"}, {"half_life": "7d"}],
    LastN: [{}, {"n": 1}, {"n": 100}],
    Quantile: [{"q": 0.5}, {"q": 0.07}, {"q": 0.999}],
    SessionCount: [{}, {"gap": "1s"}, {"gap": "1d"}],
    SessionMeanDuration: [{}, {"gap": "1s"}, {"gap": "1d"}],
    StdDev: [{}, {"sample": True}],
    TopK: [{}, {"k": 1}, {"k": 32}],
    Variance: [{}, {"sample": True}],
}


class Event(NamedTuple):
    """Event as an aggregation takes it."""

    value: Any
    time_ms: int
    event_id_hash: int


Events = Sequence[Event]


def examples(kind_of_aggregation: type[Aggregation]) -> list[Aggregation]:
    """Every setting of a class, bound to every kind of field, and to none if it needs none."""
    required = [
        field.name
        for field in dataclasses.fields(kind_of_aggregation)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    settings = SETTINGS.get(kind_of_aggregation, [{}])
    missing = [name for name in required if not all(name in setting for setting in settings)]
    assert not missing, f"{kind_of_aggregation.__name__} needs {missing}: add examples of it to SETTINGS in {__file__}"
    found = []
    for setting in settings:
        for kind in sorted(kind_of_aggregation.takes):
            found.append(kind_of_aggregation(FIELD, **setting).bind(kind, PLACES if kind is Kind.SCALED else 0))
        if not kind_of_aggregation.needs_field:
            found.append(kind_of_aggregation(**setting).bind(None))
    return found


NUMBERS = {
    Kind.INTEGER: st.integers(-LARGEST, LARGEST),
    Kind.SCALED: st.integers(-LARGEST, LARGEST),
    Kind.FLOAT: st.floats(-LARGEST, LARGEST),
}
FEW = {
    Kind.INTEGER: st.integers(-3, 3),
    Kind.SCALED: st.integers(-300, 300),
    Kind.FLOAT: st.sampled_from([-0.0, 0.0, 0.1, -1.5, 1e-300]),
    Kind.TEXT: st.sampled_from(["", "a", "b", "é", "\U0001f600"]),
    Kind.BOOLEAN: st.booleans(),
    None: st.none(),
}
VALUES = FEW | NUMBERS | {Kind.TEXT: st.text(max_size=8)}

WITHIN_MS = (3, 10_000, 8 * 3_600_000, 400 * 86_400_000)  # spans of events: from equal times to a year
INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def few_events(draw: Callable[..., Any], kind: Kind | None) -> list[Event]:
    """Up to 30 events with arbitrary values and times, some of them twice."""
    value = draw(st.sampled_from([FEW[kind], VALUES[kind]]))
    time_ms = st.integers(START_MS, START_MS + draw(st.sampled_from(WITHIN_MS)))
    events = draw(
        st.lists(st.builds(Event, value, time_ms, INT64), max_size=25, unique_by=lambda event: (event[1], event[2]))
    )
    again = draw(st.lists(st.sampled_from(events), max_size=5)) if events else []
    return events + again


def many_values(kind: Kind | None, chance: random.Random, distinct: int) -> Any:
    """A value of about ``distinct`` ones, small ones more often than large ones."""
    drawn = int(distinct * chance.random() ** 3)
    if kind is Kind.FLOAT:
        return drawn / 7 - 3
    if kind is Kind.TEXT:
        return f"value {drawn}" if drawn % 3 else f"a longer value {drawn}" * 4
    if kind is Kind.BOOLEAN:
        return drawn % 2 == 0
    return None if kind is None else drawn * 1_000_003 - 7


@st.composite
def many_events(draw: Callable[..., Any], kind: Kind | None) -> list[Event]:
    """100 to 600 events from a seed: enough for every sketch and bound."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    within_ms = draw(st.sampled_from(WITHIN_MS))
    distinct = draw(st.sampled_from([10, 300, 100_000]))
    return [
        Event(many_values(kind, chance, distinct), START_MS + chance.randint(0, within_ms), chance.getrandbits(63))
        for _ in range(draw(st.integers(100, 600)))
    ]


def events_for(aggregation: Aggregation) -> st.SearchStrategy[list[Event]]:
    kind = None if aggregation.field is None else aggregation.kind
    events = few_events(kind) | many_events(kind)
    return events.map(with_nulls) if aggregation.counts_null else events


def with_nulls(events: list[Event]) -> list[Event]:
    """The events, a third of them without a value; the same event always."""
    return [event if event.event_id_hash % 3 else event._replace(value=None) for event in events]


def cells_of(aggregation: Aggregation) -> StateCells:
    return state_cells(aggregation, 0, 0)


def encoded(aggregation: Aggregation, state: Any) -> bytes:
    """A state's cells, as a table holds them."""
    cells = cells_of(aggregation)
    columns: list[list[Any]] = [[None] for _ in aggregation.cells]
    cells.put(columns, 0, state)
    return msgspec.msgpack.encode(columns)


def stored(aggregation: Aggregation, state: Any) -> Any:
    """A state as read from a table."""
    return cells_of(aggregation).get(msgspec.msgpack.decode(encoded(aggregation, state)), 0)


def fold(aggregation: Aggregation, events: Events, state: Any = None) -> Any:
    """The state of events, one by one."""
    state = aggregation.zero() if state is None else state
    for value, time_ms, event_id_hash in events:
        state = aggregation.update(state, value, time_ms, event_id_hash)
    return state


@st.composite
def in_parts(draw: Callable[..., Any], events: Events) -> list[list[Event]]:
    """The events in any order and any number of parts, also empty ones."""
    shuffled = list(draw(st.permutations(events))) if len(events) < 40 else list(events)
    if len(events) >= 40:
        random.Random(draw(st.integers(0, 2**32))).shuffle(shuffled)
    cuts = sorted(draw(st.lists(st.integers(0, len(events)), max_size=8)))
    return [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True)]
