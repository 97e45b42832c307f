"""Newest states of the persons who are being erased at the same time: each changelog is read once for all of them.

A changelog has every state that was written within its lag, and an erasure looks at it several times: before the
tombstone, after it, and once more at the end. Only the newest record of a subject says what a table holds, so that a
record that was read for a person need not be read again: a later call goes on where the one before ended. What was read
is in this process alone. One that knows nothing yet reads from the beginning, or from the cursor of a call.
"""

from collections.abc import Callable, Sequence

from featurestore.locations import Person
from featurestore.topic_scan import Position, ScannedRecord, TopicScan

States = dict[str, tuple[int, int]]
"""How many things the newest record holds, and whether it can't be read, by topic and subject."""
Counted = Callable[[Person, ScannedRecord], tuple[int, int]]


class ReadTogether:
    """Persons for whom the changelogs are read together, and how far they have been."""

    def __init__(self, persons: Sequence[Person]) -> None:
        self._states: dict[Person, States] = {person: {} for person in persons}
        self._persons: dict[bytes, list[Person]] = {}
        for person in persons:
            for subject in person.subjects:
                self._persons.setdefault(subject.encode(), []).append(person)
        self._read: dict[tuple[str, int], tuple[int, int]] = {}

    def has_come_to(self, position: Position) -> bool:
        """Whether the records before a position have been read."""
        offset, _ = self._read.get(position[:2], (0, 0))
        return offset >= position.offset

    def read_on(self, topics: TopicScan, positions: Sequence[Position], count: Counted, limit: int) -> Position | None:
        """Read what is new in partitions, at most ``limit`` records: where to go on, or None at their present ends."""
        left = limit
        for start in positions:
            offset, number = self._read.get(start[:2], (0, 0))
            for record in topics.read(start._replace(offset=offset)):
                for person in self._persons.get(record.key, ()):
                    path = f"{record.at.topic}/{record.key.decode()}"
                    self._states[person][path] = count(person, record)
                offset, number, left = record.at.offset + 1, number + 1, left - 1
                self._read[start[:2]] = offset, number
                if not left:
                    return start._replace(offset=offset)
        return None

    def states(self, person: Person) -> States:
        return self._states[person]

    def looked_at(self, positions: Sequence[Position]) -> int:
        """The number of records of these partitions that were read."""
        return sum(self._read.get(position[:2], (0, 0))[1] for position in positions)


class Readings:
    """For each person who is being erased, with whom the changelogs are read together."""

    def __init__(self) -> None:
        self._looked_for: Sequence[Person] = ()
        self._together: dict[Person, ReadTogether] = {}

    def of(self, person: Person, looked_for: Sequence[Person]) -> ReadTogether | None:
        """With whom to read for a person; None: alone. ``looked_for``: all who are being erased now.

        Those who were not looked for before begin together. What was read for those who are no more is forgotten.
        """
        if looked_for is not self._looked_for:
            known = {one: self._together[one] for one in looked_for if one in self._together}
            new = [one for one in looked_for if one not in known]
            self._together = known | dict.fromkeys(new, ReadTogether(new))
            self._looked_for = looked_for
        return self._together.get(person)
