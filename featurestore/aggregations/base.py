"""What an aggregation is: a commutative monoid over events, with a way to update it and a way to read it. Pure.

A *state* is a plain value (int, float, str, bytes, None, or a flat sequence of these) that msgpack can hold, so a tile
is a list of states and needs no codec of its own. States are never changed in place. The laws, tested on every
subclass by reflection (tests/aggregations/test_laws.py):

- ``merge(zero(), a) == a == merge(a, zero())``, ``merge`` is associative and commutative;
- ``update(a, e) == merge(a, update(zero(), e))``.

They hold to the byte where ``exact``, and otherwise within the ``error`` that the subclass states. Two events of the
same time and event_id_hash are the same event, so their values are equal.

The pattern of one small algebra with the tiles on top is chronon's; "one statistic, one file" is river's.
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
EventIdHash = int  # 63-bit digest of the event's id: orders events of the same millisecond

NO_FILTER: Mapping[str, Any] = MappingProxyType({})


class Kind(StrEnum):
    """What a source's field holds."""

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
    """How one part of a state is stored for reading (featurestore.tiles.view_reader)."""

    INT = "int"  # nullable, stored in the fewest of 1, 2, 4 or 8 bytes
    FLOAT = "float"  # nullable, 8 bytes
    BLOB = "blob"  # anything, through a pool of distinct msgpack values


@dataclass(frozen=True)
class Aggregation(ABC):
    """One statistic of one field of a source's events, of those events that the filter ``where`` lets through.

    ``field`` is None for aggregations of events as such. ``where`` maps a field to the value it must have, or to a
    collection of values. ``kind`` and ``places`` are filled in from the source when a view binds the aggregation.
    """

    field: str | None = None
    where: Mapping[str, Any] = dataclasses.field(default_factory=lambda: NO_FILTER)
    kind: Kind | None = None
    places: int = 0

    takes: ClassVar[frozenset[Kind]] = NUMBERS
    needs_field: ClassVar[bool] = True
    growing: ClassVar[bool] = False  # a state grows when merged: stored per tile and merged at reading
    fills: ClassVar[bool] = False  # a state may be full: ``full`` tells
    additive: ClassVar[bool] = False  # merging adds, cell by cell: totals are made without calling merge
    empty: ClassVar[Any] = None  # the answer when nothing was counted

    def over(self, *windows: str, name: str | None = None, default: Any = None) -> "Windowed":
        """This aggregation over windows such as "15m", "1h", "30d" (1 minute to 400 days) or "lifetime".

        A feature is called VIEW_FIELD_AGGREGATION_WINDOW; ``name`` replaces VIEW_FIELD_AGGREGATION, and with one
        window the whole. ``default`` is the answer when nothing was counted, if that would be null.
        """
        frame = sys._getframe(1)
        return Windowed(self, windows, name, default, (frame.f_code.co_filename, frame.f_lineno))

    def bind(self, kind: Kind | None, places: int = 0) -> Self:
        """This aggregation, knowing what its field holds."""
        return replace(self, kind=kind, places=places)

    @property
    @abstractmethod
    def name(self) -> str:
        """In a feature's name: spend_amount_NAME_30d. It tells settings apart where one view may want several: p50."""

    @property
    @abstractmethod
    def answers(self) -> Answers:
        """What kind of answer it gives."""

    def answer_type(self, unit: str | None = None) -> ValueType:
        """The type of the answer, with the unit that the field's gives it."""
        return value_type(self.answers, self.kind.json_type if self.kind else "", unit)

    @property
    def error(self) -> str:
        """How far off an answer may be, in words; nothing when it is exact."""
        return ""

    @property
    def exact(self) -> bool:
        """Whether the laws hold to the byte: the same events in any order and any parts give the same state."""
        return not self.error

    @property
    def number(self) -> Cell:
        """The cell of a number of this field's kind."""
        return Cell.FLOAT if self.kind is Kind.FLOAT else Cell.INT

    @property
    def held(self) -> Cell:
        """The cell of a value of this field's kind."""
        return self.number if self.kind in NUMBERS else Cell.BLOB

    @property
    @abstractmethod
    def cells(self) -> tuple[Cell, ...]:
        """The parts of a state. One part: the state is the bare value. More: a sequence of them."""

    @abstractmethod
    def zero(self) -> State:
        """The state of no events."""

    @abstractmethod
    def update(self, state: State, value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        """The state with one more event: its field's value (never None), its time and its event_id_hash-breaker."""

    @abstractmethod
    def merge(self, a: State, b: State) -> State:
        """The state of the events of both."""

    def full(self, state: State) -> bool:
        """Whether no earlier event can change a state."""
        return False

    def combine(self, states: Iterable[State]) -> State:
        """The state of the events of all: as merged one by one, but for growing states faster."""
        return reduce(self.merge, states, self.zero())

    @abstractmethod
    def finish(self, state: State, now_ms: int) -> Any:
        """The feature's value at a time: a JSON value; ``empty`` when nothing was counted."""

    def unscale(self, number: float) -> float | int:
        """A number of the field's kind as the outside knows it: 1275 of a field of two places is 12.75."""
        return number / 10**self.places if self.kind is Kind.SCALED else number


@dataclass(frozen=True)
class Windowed:
    """An aggregation with the windows it is asked over: what a view lists."""

    aggregation: Aggregation
    windows: tuple[str, ...]
    name: str | None
    default: Any
    made_at: tuple[str, int] | None = None  # file and line, for a message that names the line to change
