"""Base class of the aggregations: a commutative monoid over events, with an update and an answer. Pure.

A *state* is a plain value (int, float, str, bytes, None, or a flat sequence of these). Its parts are cells, which
featurestore.tiles.view_codec stores by column. States are never changed in place. Whoever changes what a stored state
means raises STATE_FORMAT (featurestore.definitions.view). The laws, tested on every subclass by reflection
(tests/aggregations/test_laws.py), hold to the byte, whatever the ``error`` of answers:

- ``merge(zero(), a) == a == merge(a, zero())``, ``merge`` is associative and commutative;
- ``update(a, e) == merge(a, update(zero(), e))``.

So a state is a function of the set of its events. It is bounded: at most STATE_BYTES, however many events it has. Two
events of the same time and event_id_hash are the same event, so their values are equal.

The streams merge the states of a tile and all newer ones for the store (a *suffix aggregate*). Where a state is larger
than what an answer needs, the store gets ``suffix_state``, of the parts ``suffix_cells``.

One small algebra under the tiles is the pattern of chronon; one statistic a file is that of river.
"""

import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import reduce
from types import MappingProxyType
from typing import Any, ClassVar, Self

from featurestore.aggregations.answers import Answers, ValueType, value_type

Value = Any  # what an event's field holds, already scaled: int, float, str or bool
State = Any  # see the module's docstring
EventIdHash = int  # 63-bit digest of the event's source and id: orders events of the same millisecond

NO_FILTER: Mapping[str, Any] = MappingProxyType({})


class Kind(StrEnum):
    """Kind of value that a source's field holds."""

    INTEGER = "integer"
    SCALED = "scaled"  # a decimal kept as an integer of 10**-places units
    FLOAT = "float"
    TEXT = "text"
    BOOLEAN = "boolean"

    @property
    def numeric(self) -> bool:
        return self in NUMBERS

    @property
    def json_type(self) -> str:
        """The JSON type of a value."""
        return JSON_TYPES.get(self, "number")


NUMBERS = frozenset({Kind.INTEGER, Kind.SCALED, Kind.FLOAT})
ANY_KIND = frozenset(Kind)
JSON_TYPES = {Kind.INTEGER: "integer", Kind.TEXT: "string", Kind.BOOLEAN: "boolean"}

STATE_BYTES = 4_096  # of one aggregation's state in one tile, as msgpack
TEXT_BYTES = 512  # of a text in UTF-8: a longer one is refused when its event is decoded
NUMBER_BYTES = 9  # of a number as msgpack, at most
COUNT_BYTES = 5  # of a number of events, up to 2**32
EVENT_BYTES = 2 * NUMBER_BYTES  # an event's time and event_id_hash


class Cell(StrEnum):
    """Kind of cell that stores one part of a state (featurestore.tiles.cell_codecs)."""

    INT = "int"  # nullable, in the fewest of 1, 2, 4 or 8 bytes that all cells of a column fit in
    FLOAT = "float"  # nullable, in 8 bytes
    WIDE = "wide"  # an integer of any size (featurestore.aggregations.wide); tables have it, suffix aggregates do not
    BLOB = "blob"  # the msgpack of anything else


@dataclass(frozen=True)
class Aggregation(ABC):
    """Statistic of one field of a source's events, of those events that the filter ``where`` lets through.

    ``field`` is None for aggregations of events as such. ``where`` maps a field to the value it must have, or to a
    collection of values. ``kind`` and ``places`` are filled in from the source when a view binds the aggregation.
    """

    field: str | None = None
    where: Mapping[str, Any] = dataclasses.field(default_factory=lambda: NO_FILTER)
    kind: Kind | None = None
    places: int = 0

    takes: ClassVar[frozenset[Kind]] = NUMBERS
    needs_field: ClassVar[bool] = True
    counts_null: ClassVar[bool] = False  # events without the field count too, with the value None
    growing: ClassVar[bool] = False  # a state grows when merged: stored by tile and merged when read
    additive: ClassVar[bool] = False  # merging adds cell by cell: suffix aggregates need no call of merge
    inflation: ClassVar[int | None] = None  # ``weight`` is at most so many times a state's bytes; None: any number
    empty: ClassVar[Any] = None  # the answer when nothing was counted

    def over(self, *windows: str, name: str | None = None, default: Any = None) -> "WindowedAggregation":
        """This aggregation over windows such as "15m", "1h", "30d" (1 minute to 400 days) or "lifetime".

        A feature is called VIEW_FIELD_AGGREGATION_WINDOW; ``name`` replaces VIEW_FIELD_AGGREGATION, and with one
        window the whole. ``default`` is the answer when nothing was counted, if that would be null.
        """
        frame = sys._getframe(1)
        return WindowedAggregation(self, windows, name, default, (frame.f_code.co_filename, frame.f_lineno))

    def bind(self, kind: Kind | None, places: int = 0) -> Self:
        """This aggregation with the kind of its field."""
        return replace(self, kind=kind, places=places)

    @property
    @abstractmethod
    def name(self) -> str:
        """Its part of a feature's name: spend_amount_NAME_30d. Settings that one view may combine differ: p50, p95."""

    @property
    @abstractmethod
    def answers(self) -> Answers:
        """The kind of its answers."""

    def answer_type(self, unit: str | None = None) -> ValueType:
        """The type of the answer, with the unit that the field's gives it."""
        return value_type(self.answers, self.kind.json_type if self.kind else "", unit)

    @property
    def error(self) -> str:
        """How far off an answer may be, as a text; empty if answers are exact."""
        return ""

    @property
    def number_cell(self) -> Cell:
        """The kind of cell for a number of this field."""
        return Cell.FLOAT if self.kind is Kind.FLOAT else Cell.INT

    @property
    def value_cell(self) -> Cell:
        """The kind of cell for a value of this field."""
        return self.number_cell if self.kind in NUMBERS else Cell.BLOB

    @property
    @abstractmethod
    def cells(self) -> tuple[Cell, ...]:
        """The parts of a state. One part: the state is the bare value. More: a sequence of them."""

    @property
    def suffix_cells(self) -> tuple[Cell, ...]:
        """The parts of what the store keeps of a merged state."""
        return self.cells

    @property
    def keeps(self) -> int | None:
        """How many of the newest events a state keeps, and nothing of others; None for a state of another kind.

        Every window ends with the newest event, so the tiles of a view need to keep no more than that in all. It is 1
        for a state that is no blob; its first cell is then None where there is no event.
        """
        return None

    @property
    def weighed(self) -> bool:
        """Whether states count by their ``weight`` against the bytes of a view. Others have a fixed number of them."""
        return self.growing and self.keeps is None

    @abstractmethod
    def zero(self) -> State:
        """The state of no events."""

    @abstractmethod
    def update(self, state: State, value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        """The state with one more event: its field's value, its time and the hash of its id.

        The value is None only for an aggregation that ``counts_null``.
        """

    @abstractmethod
    def merge(self, a: State, b: State) -> State:
        """The state of the events of both."""

    def merge_all(self, states: Sequence[State]) -> State:
        """The state of the events of several states, at least one."""
        return reduce(self.merge, states)

    def combine(self, states: Iterable[State]) -> State:
        """The state of the events of several tiles, for an answer: that of growing states has no bound."""
        return reduce(self.merge, states, self.zero())

    def newest(self, state: State, count: int) -> tuple[State, int]:
        """The state of its newest events, up to ``count``, and how many these are; for a blob that ``keeps`` events."""
        raise TypeError(f"{type(self).__name__} does not define newest, which a blob that keeps events needs")

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int | None:
        """The bytes of the largest state of a tile of that length (None: lifetime), whose field's values have at most
        ``value_bytes`` as msgpack; None if there is no bound.
        """
        return sum(value_bytes + 2 if cell is Cell.BLOB else NUMBER_BYTES for cell in self.cells)

    def weight(self, state: State, size: int, most: int) -> int:
        """The measure of a state of ``size`` bytes by which views are bounded, ``most`` being that of the largest.

        It is not less than ``size``, a function of the set of events, and never less for more events.
        """
        return size

    def suffix_state(self, state: State) -> State:
        """What the store keeps of a merged state."""
        return state

    @abstractmethod
    def finish(self, state: State, now_ms: int) -> Any:
        """The feature's value at a time, as JSON, from a ``suffix_state``; ``empty`` if nothing was counted."""

    def answer(self, state: State, now_ms: int) -> Any:
        """The feature's value at a time, from a state."""
        return self.finish(self.suffix_state(state), now_ms)

    def unscale(self, number: float) -> float | int:
        """A number in the field's unit: 1275 of a field of two places is 12.75."""
        return number / 10**self.places if self.kind is Kind.SCALED else number


@dataclass(frozen=True)
class WindowedAggregation:
    """Aggregation with its windows: an item of a view's features."""

    aggregation: Aggregation
    windows: tuple[str, ...]
    name: str | None
    default: Any
    defined_at: tuple[str, int] | None = None  # file and line, for a message that names the line to change
