"""Base class of the aggregations: a commutative monoid over events, with an update and an answer. Pure.

A *state* is a plain value (int, float, str, bytes, None, or a flat sequence of these) that msgpack can hold. Its parts
are cells, which featurestore.tiles.view_codec stores by column. States are never changed in place. Whoever changes what
a stored state means raises STATE_FORMAT (featurestore.definitions.view). The laws, tested on every subclass by
reflection (tests/aggregations/test_laws.py):

- ``merge(zero(), a) == a == merge(a, zero())``, ``merge`` is associative and commutative;
- ``update(a, e) == merge(a, update(zero(), e))``.

They hold to the byte where ``exact``, and otherwise within the ``error`` that the subclass states. Two events of the
same time and event_id_hash are the same event, so their values are equal.

One small algebra under the tiles is the pattern of chronon; one statistic a file is that of river.
"""

import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
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

FLOAT_SUM = "1e-9 of the sum of the values' sizes, for the order in which floats are added"


class Cell(StrEnum):
    """Kind of cell that stores one part of a state (featurestore.tiles.cell_codecs)."""

    INT = "int"  # nullable, in the fewest of 1, 2, 4 or 8 bytes that all cells of a column fit in
    FLOAT = "float"  # nullable, in 8 bytes
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
    growing: ClassVar[bool] = False  # a state grows when merged: stored by tile and merged when read
    fills: ClassVar[bool] = False  # a state can be full, see ``full``
    additive: ClassVar[bool] = False  # merging adds cell by cell: suffix aggregates need no call of merge
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
    def exact(self) -> bool:
        """Whether the laws hold to the byte: the same events in any order and any parts give the same state."""
        return not self.error

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

    @abstractmethod
    def zero(self) -> State:
        """The state of no events."""

    @abstractmethod
    def update(self, state: State, value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        """The state with one more event: its field's value (never None), its time and the hash of its id."""

    @abstractmethod
    def merge(self, a: State, b: State) -> State:
        """The state of the events of both."""

    def full(self, state: State) -> bool:
        """Whether no earlier event can change a state."""
        return False

    def combine(self, states: Iterable[State]) -> State:
        """The state of the events of all: merged one by one here; growing states have a faster way."""
        return reduce(self.merge, states, self.zero())

    @abstractmethod
    def finish(self, state: State, now_ms: int) -> Any:
        """The feature's value at a time, as JSON; ``empty`` if nothing was counted."""

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
