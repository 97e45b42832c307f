"""Comparison of this worker's clock with the brokers', on whose agreement the lease relies.

A broker's clock is read from the time at which it appends a record: one small record is written to each partition of a
topic that is never read, so that every broker that leads a partition answers. A worker whose clock is ahead by more
than the margin (``streams.lease.longest_skew_ms``) could write after it was replaced; the writes of one whose clock is
so far behind are refused while it is the owner.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from streams.metrics import CLOCK_SKEW

ATTEMPTS = 3  # the quickest counts: it is the most exact

log = structlog.get_logger(__name__)


class ClockError(RuntimeError):
    """This worker's clock and a broker's are too far apart; the message states by how much and what to do."""


class ClockCheck:
    """Comparison of clocks by writing to ``topic``. ``clock``: this worker's, in seconds."""

    def __init__(
        self,
        topic: str,
        partitions: int,
        longest_skew_ms: int,
        clock: Callable[[], float] = lambda: time.time(),
    ) -> None:
        self._topic, self._partitions, self._longest_skew_ms, self._clock = topic, partitions, longest_skew_ms, clock

    async def check(self, producer: Any) -> None:
        """Measure against every broker, warn beyond half of the margin. Raises ClockError beyond all of it."""
        skews_ms = await asyncio.gather(*(self._ahead_ms(producer, n) for n in range(self._partitions)))
        worst_ms = max(skews_ms, key=abs)
        CLOCK_SKEW.set(worst_ms / 1000)
        if abs(worst_ms) > self._longest_skew_ms:
            raise ClockError(
                f"this worker's clock is {abs(worst_ms):.0f} ms {'ahead of' if worst_ms > 0 else 'behind'} the "
                f"broker's; they must agree to {self._longest_skew_ms} ms, a third of a session. Synchronise both by "
                f"NTP; or raise RAPPORT_STREAM_SESSION_MS on every worker and run: python -m streams topics apply"
            )
        if abs(worst_ms) > self._longest_skew_ms / 2:
            log.warning("clocks differ: synchronise this machine's and the broker's by NTP",
                        ahead_ms=round(worst_ms), longest_skew_ms=self._longest_skew_ms)  # fmt: skip

    async def _ahead_ms(self, producer: Any, partition: int) -> float:
        answers = [await self._ask(producer, partition) for _ in range(ATTEMPTS)]
        return min(answers)[1]

    async def _ask(self, producer: Any, partition: int) -> tuple[float, float]:
        """How long the answer took, and how far ahead the middle of that time is of the broker's, in ms."""
        before_s = self._clock()
        appended = await producer.send_and_wait(self._topic, b"", partition=partition)
        after_s = self._clock()
        return after_s - before_s, (before_s + after_s) / 2 * 1000 - appended.timestamp
