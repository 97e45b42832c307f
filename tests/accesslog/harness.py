"""Streams in memory and in a real control Redis, reads to record, and what the database has of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from featurestore.access.models import ClientUsage
from featurestore.accesslog.batches import Batch, decode
from featurestore.accesslog.consumer import consume
from featurestore.accesslog.models import AccessGap, AccessRecord
from featurestore.accesslog.stream import RecordStream, StreamUnavailable
from featurestore.accesslog.writer import AccessLogWriter
from featurestore.serving.answer import Answer, Status, ViewAnswer

NOW_MS = 1_800_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
ANN, BEN = "a" * 32, "b" * 32


class Bot(NamedTuple):
    client: str = "support-bot"
    key_id: str = "0123456789ab"


@dataclass
class MemoryStream:
    """What was added, and how the adding goes: not ``available`` it fails, ``deaf`` it fails when all is there."""

    raws: list[bytes] = field(default_factory=list)
    available: bool = True
    deaf: bool = False
    size: int = 0

    def add(self, batches: Sequence[bytes]) -> None:
        if not self.available:
            raise StreamUnavailable("away")
        self.raws += batches
        if self.deaf:
            raise StreamUnavailable("no answer")

    def size_bytes(self) -> int:
        if not self.available:
            raise StreamUnavailable("away")
        return self.size

    @property
    def batches(self) -> list[Batch]:
        """Without the words."""
        return [batch for batch in map(decode, self.raws) if batch.number]

    @property
    def words(self) -> list[Batch]:
        return [batch for batch in map(decode, self.raws) if not batch.number]

    def reads(self) -> list[tuple[str, str]]:
        """Subject and request id of each record, in order."""
        return [(read.subject, read.request_id) for batch in self.batches for read in batch.reads]


def answer(**views: str | None) -> Answer:
    """An answer with views, each given (None) or withheld for a reason."""
    told = {
        name: ViewAnswer(Status.PRESENT if reason is None else Status.WITHHELD, reason=reason)
        for name, reason in views.items()
    }
    return Answer("support_chat", "service", "2027-01-15T08:00:00.000Z", {"spend_30d": 12.5}, told)


def read(
    writer: AccessLogWriter, request: str = "request-1", subjects: Sequence[str] = (ANN,), **views: str | None
) -> None:
    """A read of subjects, all of them answered alike."""
    answers = [answer(**(views or {"spend": None})) for _ in subjects]
    writer.add_read(Bot(), "support_chat", "service", subjects, answers, NOW_MS, request)


class AheadStream(RecordStream):
    """A control Redis's stream whose clock the test sets ahead, and that has been running for ``uptime_ms``."""

    ahead_ms = 0
    uptime_ms = 86_400_000

    def server_time(self) -> tuple[int, int]:
        return super().server_time()[0] + self.ahead_ms, self.uptime_ms


@dataclass
class Control:
    """A control Redis and its stream of records."""

    stream: AheadStream
    redis: Any

    def writer(self, at_ms: int = NOW_MS) -> AccessLogWriter:
        """A process that answers reads; its ticks are the test's."""
        made = AccessLogWriter(self.stream, 10**9, lambda: at_ms)
        made.start = lambda: None  # type: ignore[method-assign]
        return made

    def consume(self, later_ms: int = 0) -> int:
        """Collect, so much later."""
        self.stream.ahead_ms = later_ms
        return consume(self.stream, NOW + timedelta(milliseconds=later_ms))


def stored() -> Counter[tuple[str, str]]:
    """Subject and request id of each record in the database."""
    return Counter(AccessRecord.objects.values_list("subject", "request_id"))


def gaps() -> list[tuple[str, int, int | None]]:
    """Reason, first number and how many, the earliest first."""
    return list(AccessGap.objects.order_by("pk").values_list("reason", "first", "missing"))


def usage() -> dict[tuple[str, str, int], int]:
    return {(u.client, u.route, u.status): u.requests for u in ClientUsage.objects.all()}
