"""DecayedSum: the sum of a number, older values weighing less."""

from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import EventIdHash
from featurestore.aggregations.decay import Decay, State


@dataclass(frozen=True)
class DecayedSum(Decay):
    """Sum of a numeric field, in which each value halves every ``half_life``; a float.

    Algorithm and error are Decay's: 1e-9 of the sum of the decayed sizes, so relative for values of one sign.

    >>> from featurestore.aggregations import Kind
    >>> spend = DecayedSum("amount", half_life="7d").bind(Kind.SCALED, places=2)
    >>> spend.answer(spend.update(spend.zero(), 1275, 0, 1), now_ms=7 * 86_400_000)
    6.375
    """

    answers = Answers.MEASURE

    @property
    def name(self) -> str:
        return f"decayed_sum_{self.half_life}"

    def update(self, state: State, value: float, time_ms: int, event_id_hash: EventIdHash) -> State:
        return self.add(state, float(value), time_ms)
