"""Who read whom, gathered in the process that answers: a read appends one tuple to a queue and goes on.

All else happens in a thread of its own, every TICK_S: it numbers the records, packs them and sends them to the control
Redis. A process that is killed loses what it gathered since the last tick. While the control Redis is away or its
stream full, at most MOST_WAITING records are kept; beyond that the oldest are dropped, and the numbers that are missing
then tell the collector how many. Framework-free.
"""

import collections
import multiprocessing.util
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Protocol, TypeVar

import structlog
from prometheus_client import Counter, Gauge

from featurestore.accesslog.batches import PROCESS_LENGTH, Batch, Kind, Read, Requests, encode
from featurestore.accesslog.stream import RecordStream, StreamAway
from featurestore.config import settings
from featurestore.serving.answer import Answer, Status, ViewAnswer

TICK_S = 0.05
TICKS_A_WORD = 20
"""A process that has nothing to send says once a second that it is alive."""
TICKS_OF_REST = 10
"""From a try that failed to the next."""
RECORDS_A_BATCH = 1000
BATCHES_AT_ONCE = 50
MOST_WAITING = 100_000
"""Records and counts of requests that a process keeps while it can't send them."""
TIMEOUT_S = 0.5
FAREWELL_S = 2.0
"""How long an orderly end waits for the control Redis."""

WAITING = Gauge("rapport_access_waiting", "Access records and counts of requests that this process has not sent yet.")
SENT = Counter("rapport_access_sent", "Access records and counts of requests sent to the control Redis.")
DROPPED = Counter("rapport_access_dropped", "Access records and counts of requests that waited too long: lost.")

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Holder(Protocol):
    """Who reads: a credential."""

    @property
    def client(self) -> str: ...
    @property
    def key_id(self) -> str: ...


class Stream(Protocol):
    """Where batches go. Raises StreamAway."""

    def add(self, batches: Sequence[bytes]) -> None: ...
    def size_bytes(self) -> int: ...


Gathered = tuple[Holder, str, str, Sequence[str], Sequence[Answer], int, str]
Key = tuple[str, str, str, str, tuple[tuple[str, str | None], ...]]  # a kind: each view with why it was withheld


class AccessLogWriter:
    """The records of one process, sent to one stream. Shared among threads; a forked child has a life of its own."""

    def __init__(self, stream: Stream, largest_stream_bytes: int, clock_ms: Callable[[], int]):
        self.stream, self.largest_stream_bytes, self.clock_ms = stream, largest_stream_bytes, clock_ms
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """A process without a past: a child must not send what its parent gathered."""
        self.process = secrets.token_hex(PROCESS_LENGTH // 2)
        self._starting = threading.Lock()  # the parent's may have been held while it forked
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        # Appending to a deque and taking from it are atomic: no lock is needed, and nothing falls between the two.
        self._reads = deque[Gathered]()
        self._requests = deque[tuple[str, str, int]]()
        self._waiting = deque[tuple[bytes, int]]()  # batches, each with its weight
        self._weight = self._number = self._next = 0
        self._silent = TICKS_A_WORD  # ticks since the last word: the first tick says one
        self._rest, self._room, self._away = 0, True, False
        self._begun_ms = self._made_ms = self.clock_ms()

    def add_read(
        self,
        holder: Holder,
        service: str,
        purpose: str,
        subjects: Sequence[str],
        answers: Sequence[Answer],
        at_ms: int,
        request_id: str,
    ) -> None:
        """One read of distinct subjects, answered in their order. The answers must not change any more."""
        self._reads.append((holder, service, purpose, subjects, answers, at_ms, request_id))
        if self._thread is None:
            self.start()

    def add_request(self, client: str, route: str, status: int) -> None:
        """One request, answered. The client is "" where nobody knows it."""
        self._requests.append((client, route, status))
        if self._thread is None:
            self.start()

    def start(self) -> None:
        """Begin to send, with a word of it. A process that calls this before its first read is never unknown."""
        with self._starting:
            if self._thread is None:
                self._stopping.clear()
                self._thread = threading.Thread(target=self._run, name="access-records", daemon=True)
                self._thread.start()
                # Unlike atexit's, this is called at the end of a forked worker too.
                multiprocessing.util.Finalize(None, self.stop, exitpriority=100)
                log.info("access records begin", process=self.process, pid=os.getpid())

    def stop(self) -> None:
        """Send what there is, say farewell, and end. A later read begins anew."""
        with self._starting:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._stopping.set()
                thread.join(FAREWELL_S + 2 * TIMEOUT_S)

    def _run(self) -> None:
        while True:
            ended = self._stopping.is_set()
            try:
                self.final_flush() if ended else self.flush()
            except Exception:  # whatever it is, the next tick's records must go on; numbers tell what is missing
                log.exception("access records not sent")
            if ended:
                return
            self._stopping.wait(TICK_S)

    def flush(self) -> None:
        """Pack what was gathered since the last tick, and send what waits, or a word when it is time for one."""
        self._gather()
        self._silent += 1
        if self._rest:
            self._rest -= 1
        else:
            self._send()
        self._drop(self._weight - MOST_WAITING)
        WAITING.set(self._weight)

    def final_flush(self) -> None:
        """The last tick. What can't be sent within FAREWELL_S is lost, and missed."""
        self._gather()
        until_s = time.monotonic() + FAREWELL_S
        self._send()
        while self._away and time.monotonic() < until_s:
            time.sleep(TICK_S)
            self._send()
        self._drop(self._weight)  # the stream is full, or away
        if not self._away:
            self._pack([], {}, {}, ended=True)
            self._room = True  # for the one batch that says how many are missing
            self._send()

    def _gather(self) -> None:
        """Everything that is in the queues now, as batches."""
        self._made_ms = self.clock_ms()  # before they are emptied: nothing from before it is missing in what is made
        gathered = list(_taken(self._reads))
        first, self._next = self._next, self._next + sum(len(subjects) for _, _, _, subjects, *_ in gathered)
        places: dict[Key, int] = {}
        reads = []
        for holder, service, purpose, subjects, answers, at_ms, request_id in gathered:
            for subject, answer in zip(subjects, answers, strict=True):
                views = tuple((name, _reason(view)) for name, view in answer.views.items())
                kind = (holder.client, holder.key_id, service, purpose, views)
                reads.append(Read(places.setdefault(kind, len(places)), subject, at_ms, request_id))
        requests = collections.Counter(_taken(self._requests))
        for start in range(0, len(reads), RECORDS_A_BATCH):
            self._pack(reads[start : start + RECORDS_A_BATCH], places, requests, first=first + start)
            requests = collections.Counter()
        if requests:
            self._pack([], {}, requests)

    def _pack(
        self,
        reads: Sequence[Read],
        places: Mapping[Key, int],
        requests: Mapping[tuple[str, str, int], int],
        *,
        first: int | None = None,
        ended: bool = False,
    ) -> None:
        self._number += 1
        counts = [Requests(*key, count) for key, count in requests.items()]
        batch = Batch(
            process=self.process,
            begun_ms=self._begun_ms,
            number=self._number,
            made_ms=self._made_ms,
            first=self._next if first is None else first,
            kinds=[_kind(*key) for key in places],
            reads=list(reads),
            requests=counts,
            ended=ended,
        )
        weight = len(reads) + len(counts)
        self._waiting.append((encode(batch), weight))
        self._weight += weight

    def _send(self) -> None:
        if not self._waiting and self._silent < TICKS_A_WORD:
            return
        try:
            if self._silent >= TICKS_A_WORD:
                self._room = self.stream.size_bytes() < self.largest_stream_bytes
                self.stream.add([encode(Batch(self.process, self._begun_ms, 0, self._made_ms, self._next))])
                self._silent = 0
            if self._room:
                self._send_all()
        except StreamAway as error:
            if not self._away:
                log.warning("access records wait: the control Redis is away", process=self.process, reason=str(error))
            self._away, self._rest = True, TICKS_OF_REST
            return
        if self._away:
            log.info("access records go on", process=self.process)
        self._away = False

    def _send_all(self) -> None:
        while self._waiting:
            some = list(islice(self._waiting, BATCHES_AT_ONCE))
            self.stream.add([raw for raw, _ in some])
            for _, weight in some:
                self._waiting.popleft()
                self._weight -= weight
                SENT.inc(weight)

    def _drop(self, weight: int) -> None:
        """Let the oldest batches go that have such a weight, or a little more."""
        dropped = 0
        while dropped < weight:
            dropped += self._waiting.popleft()[1]
        if dropped:
            self._weight -= dropped
            DROPPED.inc(dropped)
            log.error("access records dropped", process=self.process, records=dropped)


def _taken(queue: deque[T]) -> Iterable[T]:
    """What is in a queue now; what is appended meanwhile is for the next time."""
    for _ in range(len(queue)):
        yield queue.popleft()


def _reason(view: ViewAnswer) -> str | None:
    """Why a view was withheld. None: its values were given."""
    return None if view.status is not Status.WITHHELD else str(view.reason or view.status)


def _kind(client: str, credential: str, service: str, purpose: str, views: Iterable[tuple[str, str | None]]) -> Kind:
    given = [name for name, reason in views if reason is None]
    withheld = {name: reason for name, reason in views if reason is not None}
    return Kind(client, credential, service, purpose, given, withheld)


@cache
def access_log_writer() -> AccessLogWriter:
    """The process's recorder, to the control Redis of this installation."""
    conf = settings()
    stream = RecordStream(conf.control_url, TIMEOUT_S)
    return AccessLogWriter(stream, conf.access_stream_mb * 1_000_000, lambda: time.time_ns() // 1_000_000)
