"""Writer of passed-by subjects: before an event or a purge is skipped for want of a permission, its subject is
written to Kafka.

What the topic is for: ``featurestore.passed_by``. When the permission is stored again, and claims nothing of what was
skipped, the writer removes its entries of the subject. Those of a worker that has ended meanwhile are removed later, by
the store verifier.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

from featurestore.passed_by import PARTITION, REMEMBERED_S, VALUE, key_of
from featurestore.permission import Permission
from streams.changelog import Changelog

MAX_REMEMBERED = 100_000
"""Subjects that a worker remembers. The oldest are forgotten, and written again."""
MAX_KEYS = 4


class Skipped(NamedTuple):
    """What of a subject without a stored permission is to be skipped now: events, the newest of which Kafka first
    recorded at ``newest_ms`` (-1: none), and perhaps a purge."""

    subject: str
    newest_ms: int
    purge: bool


@dataclass
class Remembered:
    """A subject's entries, when the newest one was sent, and what was skipped under them."""

    keys: list[bytes] = field(default_factory=list)
    sent_s: float = float("-inf")
    newest_ms: int = -1
    purge: bool = False

    def is_settled_by(self, permission: Permission, *, purged: bool) -> bool:
        """Whether a permission claims nothing that was skipped, and another purge makes up for a skipped one."""
        held = (one for one in permission.purposes.values() if one.allowed or one.paused)
        return (purged or not self.purge) and all(one.start_ms > self.newest_ms for one in held)


class Changes(NamedTuple):
    """Records to write: entries of subjects, whose permissions are to be read again then, and tombstones."""

    subjects: list[str]
    removed: list[bytes]


NO_CHANGES = Changes([], [])


class PassedByWriter:
    """Writer of one worker. ``clock`` counts seconds."""

    def __init__(self, topic: str, changelog: Changelog, clock: Callable[[], float] = time.monotonic):
        self._topic, self._changelog, self._clock = topic, changelog, clock
        self._remembered: dict[str, Remembered] = {}  # the subject that was written last is the last one

    def changes(
        self, skipped: Iterable[Skipped], permissions: Mapping[str, Permission | None], purged: Collection[str]
    ) -> Changes:
        """The records to write, now that the permissions of some subjects were read.

        What of ``skipped`` is not among the subjects may be skipped by these permissions: an entry that is good after
        they were read covers it.
        """
        since_s, unwritten, removed = self._clock() - REMEMBERED_S, dict[str, None](), list[bytes]()
        for subject, newest_ms, purge in skipped:
            known = self._remembered.get(subject)
            if known is None or known.sent_s <= since_s:
                unwritten[subject] = None
            else:
                known.newest_ms, known.purge = max(known.newest_ms, newest_ms), known.purge or purge
        if self._remembered:
            for subject, permission in permissions.items():
                known = self._remembered.get(subject)
                if permission and known and known.is_settled_by(permission, purged=subject in purged):
                    removed += self._remembered.pop(subject).keys
        return Changes(list(unwritten), removed)

    async def write(self, changes: Changes) -> None:
        """Write entries and tombstones, and wait for the broker."""
        sent_s, token = self._clock(), uuid4().hex[:16]
        keys = {subject: key_of(subject, token) for subject in changes.subjects}
        records: dict[bytes, bytes | None] = dict.fromkeys(changes.removed)
        records |= dict.fromkeys(keys.values(), VALUE)
        await self._changelog.append(self._topic, PARTITION, records)
        for subject, key in keys.items():
            known = self._remembered.pop(subject, None) or Remembered()
            known.sent_s, known.keys = sent_s, [*known.keys, key][-MAX_KEYS:]
            self._remembered[subject] = known
        while len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
