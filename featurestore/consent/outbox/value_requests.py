"""Requests for values: evicted subjects that were read, whose values the streams are to push to the store again.

A request is a purge. It is stored nowhere: of one that fails, or that is more than a call may send, the next read makes
another.
"""

import time
from collections.abc import Callable, Iterable
from functools import cache

import structlog
from prometheus_client import Counter

from featurestore.consent.models import SubjectVersion
from featurestore.consent.outbox import purge_producer
from featurestore.consent.outbox.purge_producer import Purge

MAX_SUBJECTS = 500
"""Subjects of one call; the access log's consumer makes one a second."""
AGAIN_S = 10.0
"""A subject is not requested again before: the streams need about a second, unless they are down."""
PAUSE_S = 30.0
"""Time without requests after one that Kafka did not take: the caller has other work."""
REQUESTS = Counter(
    "rapport_value_requests",
    "Evicted subjects that were read: their values were requested, could not be, or were left to the next read.",
    ["outcome"],
)

log = structlog.get_logger(__name__)


class ValueRequests:
    """Requests of one process. It remembers what it requested lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._requested_s, self._paused_until_s = clock, dict[str, float](), float("-inf")

    def send(self, subjects: Iterable[str]) -> int:
        """Request the values of subjects, at most MAX_SUBJECTS; the number that Kafka took."""
        now_s = self._clock()
        self._requested_s = {one: at_s for one, at_s in self._requested_s.items() if at_s > now_s - AGAIN_S}
        wanted = [subject for subject in dict.fromkeys(subjects) if subject not in self._requested_s]
        chosen = wanted[:MAX_SUBJECTS] if now_s >= self._paused_until_s else []
        REQUESTS.labels("left").inc(len(wanted) - len(chosen))
        if not chosen:
            return 0
        rows = SubjectVersion.objects.filter(subject__in=chosen).values_list("subject", "sequence")
        purges = [Purge(subject, sequence) for subject, sequence in rows]
        failures = purge_producer.purge_producer().send(purges)
        sent = [purge.subject for purge in purges if purge not in failures]
        self._requested_s |= dict.fromkeys(sent, now_s)
        REQUESTS.labels("sent").inc(len(sent))
        if failures:
            REQUESTS.labels("failed").inc(len(failures))
            self._paused_until_s = self._clock() + PAUSE_S
            log.warning("values of evicted subjects not requested: is Kafka available?", subjects=len(failures),
                        reason=next(iter(failures.values())))  # fmt: skip
        return len(sent)


@cache
def value_requests() -> ValueRequests:
    """The requests of this process."""
    return ValueRequests()
