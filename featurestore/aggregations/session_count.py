"""SessionCount: the number of sessions."""

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.sessions import Sessions


@dataclass(frozen=True)
class SessionCount(Sessions):
    """Number of sessions: runs of events without a pause of more than ``gap``. The algorithm is Sessions'.

    >>> visits = SessionCount(gap="30m")
    >>> state = visits.zero()
    >>> for minute in (0, 25, 90, 50):
    ...     state = visits.update(state, None, minute * 60_000, 0)
    >>> visits.answer(state, now_ms=0)
    2
    """

    name = "sessions"
    answers = Answers.COUNT
    empty = 0

    def finish(self, state: Sequence[int], now_ms: int) -> int:
        return len(state) // 2
