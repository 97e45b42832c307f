"""The stream in the control Redis between API processes, which add batches, and the collector, which takes them.

No consumer group: an entry is deleted when the database has it, so whatever is there is still to be written. Ids and
times are the control Redis's own, so that no two clocks are compared.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from featurestore.config import settings

KEY, ASIDE = "access:records", "access:unreadable"
FIELD = b"batch"
ASIDE_AT_MOST = 10_000
MEMORY_SAMPLES = 5
PATIENCE_S, GLANCE_S = 5.0, 1.0
"""How long the collector waits for an answer, and who only wants to look."""


class StreamAway(Exception):
    """The control Redis does not answer, or refuses: its own words say why."""


class Entry(NamedTuple):
    """One entry of the stream, and when the control Redis took it."""

    id: bytes
    added_ms: int
    raw: bytes


class State(NamedTuple):
    """How long the stream is, since when its oldest entry waits (0: none does), and how many were put aside."""

    entries: int
    oldest_s: float
    aside: int


class RecordStream:
    """The stream at a control Redis. No call takes longer than the time-out by much; all raise StreamAway."""

    def __init__(self, url: str, timeout_s: float):
        # What is tried again is for the callers to say: they know what may come twice.
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )

    def add(self, batches: Sequence[bytes]) -> None:
        """Append batches in order. After StreamAway any of them may be there: add the same ones again."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for raw in batches:
                pipeline.xadd(KEY, {FIELD: raw})
            self._run(pipeline)

    def size_bytes(self) -> int:
        """About how much memory the stream takes."""
        return self._ask(self._redis.memory_usage, KEY, samples=MEMORY_SAMPLES) or 0

    def oldest(self, count: int) -> list[Entry]:
        """The first entries, at most so many."""
        found = self._ask(self._redis.xrange, KEY, count=count)
        return [Entry(id_, _added_ms(id_), fields.get(FIELD, b"")) for id_, fields in found]

    def delete(self, ids: Sequence[bytes]) -> None:
        """Forget entries that are written. Those that are gone already are no error."""
        self._ask(self._redis.xdel, KEY, *ids)

    def put_aside(self, entries: Sequence[Entry]) -> None:
        """Move entries that nobody can read out of the way, where they can be looked at."""
        with self._redis.pipeline() as pipeline:
            for entry in entries:
                pipeline.xadd(ASIDE, {FIELD: entry.raw}, maxlen=ASIDE_AT_MOST)
                pipeline.xdel(KEY, entry.id)
            self._run(pipeline)

    def clock(self) -> tuple[int, int]:
        """The control Redis's time in milliseconds, and for how many it has been running."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.info("server")
            (seconds, microseconds), about = self._run(pipeline)
        return seconds * 1000 + microseconds // 1000, about["uptime_in_seconds"] * 1000

    def state(self) -> State:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.xlen(KEY)
            pipeline.xrange(KEY, count=1)
            pipeline.xlen(ASIDE)
            pipeline.time()
            entries, first, aside, (seconds, _) = self._run(pipeline)
        return State(entries, max(seconds - _added_ms(first[0][0]) / 1000, 0) if first else 0, aside)

    def close(self) -> None:
        self._redis.close()

    def _run(self, pipeline: Any) -> list[Any]:
        return self._ask(pipeline.execute)

    def _ask(self, call: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except RedisError as error:
            raise StreamAway(str(error)) from error


def _added_ms(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


@contextmanager
def opened(timeout_s: float = PATIENCE_S) -> Iterator[RecordStream]:
    """The stream of this installation."""
    stream = RecordStream(settings().control_url, timeout_s)
    try:
        yield stream
    finally:
        stream.close()
