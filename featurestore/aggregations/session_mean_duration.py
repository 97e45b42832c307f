"""SessionMeanDuration: the mean length of sessions."""

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.sessions import Sessions


@dataclass(frozen=True)
class SessionMeanDuration(Sessions):
    """Mean of the seconds from a session's first event to its last. The algorithm is Sessions'.

    >>> visits = SessionMeanDuration(gap="30m")
    >>> state = visits.zero()
    >>> for minute in (0, 25, 90, 50):
    ...     state = visits.update(state, None, minute * 60_000, 0)
    >>> visits.answer(state, now_ms=0)  # 50 minutes and none
    1500.0
    """

    name = "session_mean_s"
    answers = Answers.SECONDS

    def finish(self, state: Sequence[int], now_ms: int) -> float | None:
        count = len(state) // 2
        return (sum(state[1::2]) - sum(state[::2])) / (count * 1000) if count else None
