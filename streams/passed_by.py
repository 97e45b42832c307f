"""Writer of passed-by subjects: before an event is skipped for want of a permission, its subject is written to Kafka.

What the topic is for: ``featurestore.passed_by``.
"""

import time
from collections.abc import Callable, Collection, Iterable
from uuid import uuid4

from featurestore.passed_by import PARTITION, REMEMBERED_S, VALUE, key_of
from streams.changelog import Changelog

MAX_REMEMBERED = 100_000
"""Subjects of which a worker remembers that it has written them. The oldest are forgotten, and written again."""


class PassedByWriter:
    """Writer of one worker. ``clock`` counts seconds."""

    def __init__(self, topic: str, changelog: Changelog, clock: Callable[[], float] = time.monotonic):
        self._topic, self._changelog, self._clock = topic, changelog, clock
        self._written_s: dict[str, float] = {}  # the oldest first

    def unwritten(self, subjects: Iterable[str]) -> list[str]:
        """Those of some subjects that are to be written before an event of theirs is skipped.

        Ask after the permissions were read: an entry that was good then covers the events that are skipped by them.
        """
        since_s = self._clock() - REMEMBERED_S
        return [subject for subject in subjects if self._written_s.get(subject, float("-inf")) <= since_s]

    async def write(self, subjects: Collection[str]) -> None:
        """Write subjects, and wait for the broker. Their permissions are to be read again afterwards."""
        began_s, token = self._clock(), uuid4().hex[:16]
        await self._changelog.append(self._topic, PARTITION, {key_of(subject, token): VALUE for subject in subjects})
        for subject in subjects:
            self._written_s.pop(subject, None)
            self._written_s[subject] = began_s
        while len(self._written_s) > MAX_REMEMBERED:
            del self._written_s[next(iter(self._written_s))]
