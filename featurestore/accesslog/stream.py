"""Redis stream of batches, in the control Redis. Processes add batches; the consumer reads and deletes them.

It has no consumer group: an entry is deleted once the database has it, so every entry is still to be written. Entry ids
and times are the control Redis's own, so that no two clocks are compared.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from featurestore.config import settings
from featurestore.servers.redis_clients import redis_client

KEY, QUARANTINE_KEY = "access:records", "access:quarantined"
FIELD = b"batch"
MAX_QUARANTINED = 10_000
MEMORY_SAMPLES = 5
DELETE_AND_REWRITE = """
redis.call('XDEL', KEYS[1], unpack(ARGV))
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('DEL', KEYS[1])
for _, entry in ipairs(entries) do
  redis.call('XADD', KEYS[1], entry[1], unpack(entry[2]))
end
"""
"""Redis keeps the bytes of a deleted entry, in its memory and files, until those beside it are deleted, too: up to a
hundred. So the others are written anew."""
CONSUMER_TIMEOUT_S, STATUS_TIMEOUT_S = 5.0, 1.0
"""Longest wait for an answer, of the consumer, and of pages and metrics that show the stream's state."""


class StreamUnavailable(Exception):
    """Error of a control Redis that does not answer, or refuses. The message is its own."""


class StreamEntry(NamedTuple):
    """One entry of the stream, and when the control Redis added it."""

    id: bytes
    added_ms: int
    raw: bytes


class StreamState(NamedTuple):
    """Number of entries, age of the oldest one (0 without any), and number of quarantined entries."""

    entries: int
    oldest_s: float
    quarantined: int


class RecordStream:
    """Redis stream of batches. Calls end soon after the time-out at latest; all raise StreamUnavailable."""

    def __init__(self, url: str, timeout_s: float):
        # No retries: only the callers can decide which calls may be repeated.
        self._redis: Redis = redis_client(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )

    def add(self, batches: Sequence[bytes]) -> None:
        """Append batches in order. After StreamUnavailable any of them may have been added: add the same ones again."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for raw in batches:
                pipeline.xadd(KEY, {FIELD: raw})
            self._run(pipeline)

    def size_bytes(self) -> int:
        """Memory that the stream takes, estimated."""
        return self._call(self._redis.memory_usage, KEY, samples=MEMORY_SAMPLES) or 0

    def oldest(self, count: int) -> list[StreamEntry]:
        """The oldest entries, at most ``count``."""
        return self.after(KEY, "0-0", count)

    def after(self, key: str, last: str, count: int) -> list[StreamEntry]:
        """The entries of a stream after an id, the oldest first, at most ``count``."""
        found = self._call(self._redis.xrange, key, min=_next_id(last), count=count)
        return [StreamEntry(id_, _added_ms(id_), fields.get(FIELD, b"")) for id_, fields in found]

    def delete(self, ids: Sequence[bytes]) -> None:
        """Delete entries that are written. Entries that were deleted already are no error."""
        self._call(self._redis.xdel, KEY, *ids)

    def quarantine(self, entries: Sequence[StreamEntry]) -> None:
        """Move entries that can't be written to a stream of their own, where an operator can look at them."""
        with self._redis.pipeline() as pipeline:
            for entry in entries:
                pipeline.xadd(QUARANTINE_KEY, {FIELD: entry.raw}, maxlen=MAX_QUARANTINED)
                pipeline.xdel(KEY, entry.id)
            self._run(pipeline)

    def delete_quarantined(self, ids: Sequence[bytes]) -> None:
        """Delete quarantined entries, so that nothing of them is left."""
        self._call(self._redis.eval, DELETE_AND_REWRITE, 1, QUARANTINE_KEY, *ids)

    def server_time(self) -> tuple[int, int]:
        """The control Redis's time and its uptime, in milliseconds."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.info("server")
            (seconds, microseconds), info = self._run(pipeline)
        return seconds * 1000 + microseconds // 1000, info["uptime_in_seconds"] * 1000

    def state(self) -> StreamState:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.xlen(KEY)
            pipeline.xrange(KEY, count=1)
            pipeline.xlen(QUARANTINE_KEY)
            pipeline.time()
            entries, first, quarantined, (seconds, _) = self._run(pipeline)
        return StreamState(entries, max(seconds - _added_ms(first[0][0]) / 1000, 0) if first else 0, quarantined)

    def close(self) -> None:
        self._redis.close()

    def _run(self, pipeline: Any) -> list[Any]:
        return self._call(pipeline.execute)

    def _call(self, call: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except RedisError as error:
            raise StreamUnavailable(str(error)) from error


def _next_id(entry_id: str) -> str:
    """The id after an entry's: Redis before 6.2 has no ranges that leave out their first."""
    ms, _, number = entry_id.partition("-")
    return f"{ms}-{int(number) + 1}"


def _added_ms(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


@contextmanager
def open_stream(timeout_s: float = CONSUMER_TIMEOUT_S) -> Iterator[RecordStream]:
    """The stream of this installation."""
    stream = RecordStream(settings().control_url, timeout_s)
    try:
        yield stream
    finally:
        stream.close()
