"""Identity of the journal's topic: whether it is the one that was compared, and holds what it held then.

A topic that was deleted and made anew under its name, or restored from an earlier state, may have grown past the offset
that was compared last. Its records up to there would then count as compared.
"""

from typing import NamedTuple

from featurestore.consent.journal.topic import Journal
from featurestore.consent.models import JournalCheckpoint


class ComparedTopic(NamedTuple):
    """The journal's topic as it was compared last: its id, the offset after the last record, and that one's token."""

    id: str
    offset: int
    token: int  # 0: unknown

    def fault(self, journal: Journal, topic_id: str, bounds: range) -> str:
        """Why the topic is not the same any more; "" if it is. Raises JournalUnreadable."""
        if self.offset and self.id and topic_id and self.id != topic_id:
            return "was deleted and made anew"
        if self.offset > bounds.stop:
            return (
                f"ends at offset {bounds.stop} and was compared up to {self.offset}: it lost records, or was made anew"
            )
        last = self.offset - 1
        if self.token and last in bounds:
            held = [entry.record.token for entries in journal.read(range(last, last + 1)) for entry in entries]
            if held != [self.token]:
                return f"holds another record at offset {last} than was compared: it lost records, or was made anew"
        return ""


def compared_topic(checkpoint: JournalCheckpoint) -> ComparedTopic:
    """The topic in the database's checkpoint."""
    return ComparedTopic(checkpoint.topic_id, checkpoint.offset, checkpoint.last_token)
