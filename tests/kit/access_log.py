"""Stream of access records in memory, and answers to record."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from featurestore.accesslog.batches import Batch, decode
from featurestore.accesslog.stream import StreamUnavailable
from featurestore.serving.answer import Answer, Status, ViewAnswer


@dataclass
class MemoryStream:
    """Stream in memory. Not ``available``: adding fails. ``answer_lost``: adding fails after the batches are added."""

    raws: list[bytes] = field(default_factory=list)
    available: bool = True
    answer_lost: bool = False
    size: int = 0

    def add(self, batches: Sequence[bytes]) -> None:
        if not self.available:
            raise StreamUnavailable("away")
        self.raws += batches
        if self.answer_lost:
            raise StreamUnavailable("no answer")

    def size_bytes(self) -> int:
        if not self.available:
            raise StreamUnavailable("away")
        return self.size

    @property
    def batches(self) -> list[Batch]:
        """All but the heartbeats."""
        return [batch for batch in map(decode, self.raws) if batch.number]

    @property
    def heartbeats(self) -> list[Batch]:
        return [batch for batch in map(decode, self.raws) if not batch.number]

    def reads(self) -> list[tuple[str, str]]:
        """Subject and request id of each record, in order."""
        return [(read.subject, read.request_id) for batch in self.batches for read in batch.reads]


def answer(**views: str | None) -> Answer:
    """An answer with views, each given (None) or withheld for a reason."""
    answered = {
        name: ViewAnswer(Status.PRESENT if reason is None else Status.WITHHELD, reason=reason)
        for name, reason in views.items()
    }
    return Answer("support_chat", "service", "2027-01-15T08:00:00.000Z", {"spend_30d": 12.5}, answered)
