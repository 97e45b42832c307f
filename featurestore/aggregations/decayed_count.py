"""DecayedCount: the number of events, older ones weighing less."""

from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import ANY_KIND, EventIdHash, Value
from featurestore.aggregations.decay import Decay, State


@dataclass(frozen=True)
class DecayedCount(Decay):
    """Number of events, each of which counts half as much after every ``half_life``; a float.

    Of those that have the field, if one is named. Algorithm and error are Decay's: 1e-9 relative.

    >>> visits = DecayedCount(half_life="1h")
    >>> visits.answer(visits.update(visits.update(visits.zero(), None, 0, 1), None, 3_600_000, 2), now_ms=7_200_000)
    0.75
    """

    answers = Answers.WEIGHT
    takes = ANY_KIND
    needs_field = False

    @property
    def name(self) -> str:
        return f"decayed_count_{self.half_life}"

    def update(self, state: State, value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        return self.add(state, 1.0, time_ms)

    def unscale(self, number: float) -> float:
        return number
