"""LastOrNull: the latest value, or null if the latest event has none."""

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.aggregations.base import State, Value
from featurestore.aggregations.last import Last


@dataclass(frozen=True)
class LastOrNull(Last):
    """Value of the latest event, exactly; null if that event lacks the field: so an event can unset the value.

    SQL's LAST_VALUE with RESPECT NULLS; Last is the one with IGNORE NULLS. A filter chooses the events that say
    something about the field.

    >>> from featurestore.aggregations import Kind
    >>> stage = LastOrNull("stage").bind(Kind.TEXT)
    >>> won = stage.update(stage.zero(), "won", 1_000, 7)
    >>> stage.answer(won, now_ms=0), stage.answer(stage.update(won, None, 2_000, 3), now_ms=0)
    ('won', None)
    """

    name = "last_or_null"
    counts_null = True

    def finish(self, state: Sequence[Value], now_ms: int) -> State:
        return None if state[2] is None else self.unscale(state[2])
