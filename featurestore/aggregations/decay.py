"""Base class of DecayedCount and DecayedSum: a sum that decays by half-life."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from featurestore.aggregations.base import NUMBER_BYTES, Aggregation, Cell
from featurestore.aggregations.duration import seconds

State = Sequence[Any]  # time of the latest event in ms, the sums of its span and of the one before
ZERO = (None, 0, 0)
SPAN = 128  # half-lives
FRACTION = 2.0**64
DECAYED_BYTES = 38  # of a span's sum: 64 bits of fraction, 40 of the largest value, 128 of the span, 24 of the count


@dataclass(frozen=True)
class Decay(Aggregation):
    """Sum in which each event's part halves every ``half_life``: "12h", "7d".

    Forward decay of Cormode, Shkapenyuk, Srivastava and Xu (2009): an event's part grows with its time, from a landmark
    on, and is divided at the end. Time is cut into spans of 128 half-lives, each with its beginning as the landmark. A
    part is an integer of units of 2**-64, so sums are exact in any order. A state has the latest event's span and the
    one before; events of earlier spans have halved 128 times at least and are dropped.

    No part is ever more than whole: an event ahead of now counts whole, and earlier ones have decayed to its time.
    """

    half_life: str = dataclasses.field(kw_only=True)

    error = "1e-9 of the sum of the decayed sizes; what has halved 128 times may be dropped"
    empty = 0
    cells = (Cell.INT, Cell.WIDE, Cell.WIDE)
    suffix_cells = (Cell.INT, Cell.FLOAT)

    def __post_init__(self) -> None:
        seconds(self.half_life)

    @cached_property
    def half_life_ms(self) -> int:
        return seconds(self.half_life) * 1000

    @cached_property
    def span_ms(self) -> int:
        return SPAN * self.half_life_ms

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int:
        return NUMBER_BYTES + 2 * DECAYED_BYTES

    def zero(self) -> State:
        return ZERO

    def add(self, state: State, amount: float, time_ms: int) -> State:
        """The state with one more amount, whole at its time."""
        halved, rest_ms = divmod(time_ms, self.half_life_ms)
        part = int(amount * 2.0 ** (rest_ms / self.half_life_ms) * FRACTION) << halved % SPAN
        at_ms, latest, before = state
        if at_ms is not None and at_ms // self.span_ms == halved // SPAN:
            return (max(at_ms, time_ms), latest + part, before)
        return self.merge(state, (time_ms, part, 0))

    def merge(self, a: State, b: State) -> State:
        if a[0] is None or b[0] is None:
            return b if a[0] is None else a
        if a[0] < b[0]:
            a, b = b, a
        apart = a[0] // self.span_ms - b[0] // self.span_ms
        if apart == 0:
            return (a[0], a[1] + b[1], a[2] + b[2])
        return (a[0], a[1], a[2] + b[1] if apart == 1 else a[2])

    def suffix_state(self, state: State) -> Sequence[Any]:
        """The time of the latest event in ms, and the sum decayed to that time."""
        at_ms, latest, before = state
        if at_ms is None:
            return (None, 0.0)
        halved, rest_ms = divmod(at_ms, self.half_life_ms)
        decayed = ((latest << SPAN) + before) / (1 << SPAN + 64 + halved % SPAN)
        return (at_ms, decayed * 2.0 ** (-rest_ms / self.half_life_ms))

    def finish(self, state: Sequence[Any], now_ms: int) -> float:
        at_ms, amount = state
        if at_ms is None:
            return 0
        return self.unscale(amount * 2.0 ** (min(0, at_ms - now_ms) / self.half_life_ms))
