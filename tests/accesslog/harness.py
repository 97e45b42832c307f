"""Access log of a real control Redis: its writers, its consumer, and what the database holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from featurestore.access.models import ClientUsage
from featurestore.accesslog.consumer import consume
from featurestore.accesslog.models import AccessGap, AccessRecord
from featurestore.accesslog.stream import RecordStream
from featurestore.accesslog.writer import AccessLogWriter
from tests.kit.access_log import answer

NOW_MS = 1_800_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
ANN, BEN = "a" * 32, "b" * 32


class Bot(NamedTuple):
    client: str = "support-bot"
    key_id: str = "0123456789ab"


def read(
    writer: AccessLogWriter, request: str = "request-1", subjects: Sequence[str] = (ANN,), **views: str | None
) -> None:
    """Queue a read of subjects that all got the same answer."""
    answers = [answer(**(views or {"spend": None})) for _ in subjects]
    writer.add_read(Bot(), "support_chat", "service", subjects, answers, NOW_MS, request)


class ShiftedClockStream(RecordStream):
    """Stream whose clock the test sets ahead, and whose Redis has been up for ``uptime_ms``."""

    ahead_ms = 0
    uptime_ms = 86_400_000

    def server_time(self) -> tuple[int, int]:
        return super().server_time()[0] + self.ahead_ms, self.uptime_ms


@dataclass
class ControlRedis:
    """A control Redis and its stream."""

    stream: ShiftedClockStream
    redis: Any

    def writer(self, at_ms: int = NOW_MS) -> AccessLogWriter:
        """The writer of one process, without a thread: the test flushes it."""
        made = AccessLogWriter(self.stream, 10**9, lambda: at_ms)
        made.start = lambda: None  # type: ignore[method-assign]
        return made

    def consume(self, later_ms: int = 0) -> int:
        """Consume the stream, so much later."""
        self.stream.ahead_ms = later_ms
        return consume(self.stream, NOW + timedelta(milliseconds=later_ms))


def stored() -> Counter[tuple[str, str]]:
    """Subject and request id of each record in the database."""
    return Counter(AccessRecord.objects.values_list("subject", "request_id"))


def gaps() -> list[tuple[str, int, int | None]]:
    """Reason, first number and number of records of each gap, the oldest gap first."""
    return list(AccessGap.objects.order_by("pk").values_list("reason", "first", "missing"))


def usage() -> dict[tuple[str, str, int], int]:
    return {(u.client, u.route, u.status): u.requests for u in ClientUsage.objects.all()}
