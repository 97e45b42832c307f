"""Base class of DecayedCount and DecayedSum: a sum that decays by half-life."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from featurestore.aggregations.base import Aggregation, Cell
from featurestore.aggregations.duration import seconds

State = Sequence[Any]  # time of the latest event in ms, the sum decayed to that time
ZERO = (None, 0.0)


@dataclass(frozen=True)
class Decay(Aggregation):
    """Sum in which each event's part halves every ``half_life``: "12h", "7d".

    Forward decay of Cormode, Shkapenyuk, Srivastava and Xu (2009), whose landmark moves on to the latest event: merging
    scales the older state to the newer's time. No part is ever more than whole: an event ahead of now counts whole, and
    earlier ones have decayed to its time.
    """

    half_life: str = dataclasses.field(kw_only=True)

    error = "1e-9 of the sum of the decayed sizes, for the rounding of floats"
    empty = 0
    cells = (Cell.INT, Cell.FLOAT)

    def __post_init__(self) -> None:
        seconds(self.half_life)

    @cached_property
    def half_life_ms(self) -> int:
        return seconds(self.half_life) * 1000

    def zero(self) -> State:
        return ZERO

    def add(self, state: State, amount: float, time_ms: int) -> State:
        """The state with one more amount, whole at its time."""
        at_ms = state[0]
        if at_ms is None:
            return (time_ms, amount)
        if time_ms >= at_ms:
            return (time_ms, state[1] * 2.0 ** ((at_ms - time_ms) / self.half_life_ms) + amount)
        return (at_ms, state[1] + amount * 2.0 ** ((time_ms - at_ms) / self.half_life_ms))

    def merge(self, a: State, b: State) -> State:
        return a if b[0] is None else self.add(a, b[1], b[0])

    def finish(self, state: State, now_ms: int) -> float:
        at_ms, amount = state
        if at_ms is None:
            return 0
        return self.unscale(amount * 2.0 ** (min(0, at_ms - now_ms) / self.half_life_ms))
