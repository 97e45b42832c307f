"""Writer of the access log, in the process that answers reads. A read only appends a tuple to a queue.

A thread flushes the queues every FLUSH_S: it numbers the records, packs them into batches, and sends these to the
control Redis. A process that is killed loses what it queued since the last flush. While the control Redis is
unavailable or its stream full, at most MAX_PENDING records are kept. Beyond that the oldest are dropped, and the
consumer finds from the numbers how many are missing. Framework-free.
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

from featurestore.accesslog.batches import (
    MAX_EVICTED,
    PROCESS_LENGTH,
    Batch,
    BatchContext,
    Read,
    RequestCount,
    encode,
)
from featurestore.accesslog.stream import RecordStream, StreamUnavailable
from featurestore.config import settings
from featurestore.serving.answer import EVICTED, Answer, Status, ViewAnswer

FLUSH_S = 0.05
FLUSHES_PER_HEARTBEAT = 20
FLUSHES_PER_RETRY = 10
"""Flushes that skip sending after an attempt that failed."""
MAX_BATCH_READS = 1000
MAX_BATCHES_PER_SEND = 50
MAX_PENDING = 100_000
"""Records and request counts that a process keeps while it can't send them."""
TIMEOUT_S = 0.5
SHUTDOWN_S = 2.0
"""How long a shutdown waits for the control Redis."""

PENDING = Gauge("rapport_access_log_pending", "Access records and request counts that this process has not sent yet.")
SENT = Counter("rapport_access_log_sent", "Access records and request counts sent to the control Redis.")
DROPPED = Counter("rapport_access_log_dropped", "Access records and request counts dropped: too many were pending.")

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Credential(Protocol):
    """Credential of the client that reads."""

    @property
    def client(self) -> str: ...
    @property
    def key_id(self) -> str: ...


class Stream(Protocol):
    """Destination of batches. Its methods raise StreamUnavailable."""

    def add(self, batches: Sequence[bytes]) -> None: ...
    def size_bytes(self) -> int: ...


QueuedRead = tuple[Credential, str, str, Sequence[str], Sequence[Answer], int, str]
ContextKey = tuple[str, str, str, str, tuple[tuple[str, str | None], ...]]
"""A read context: client, credential, service, purpose; each view with the reason why it was withheld, or None."""


class AccessLogWriter:
    """Writer of one process's access records. Safe to share among threads; a forked child writes as a new process."""

    def __init__(self, stream: Stream, max_stream_bytes: int, clock_ms: Callable[[], int]):
        self.stream, self.max_stream_bytes, self.clock_ms = stream, max_stream_bytes, clock_ms
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """Start as a new process: a forked child must not send what its parent queued."""
        self.process = secrets.token_hex(PROCESS_LENGTH // 2)
        self._starting = threading.Lock()  # a new one: the parent's may have been held during the fork
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        # A deque's append and popleft are atomic: no lock is needed, and nothing is lost between them.
        self._reads = deque[QueuedRead]()
        self._requests = deque[tuple[str, str, int]]()
        self._pending = deque[tuple[bytes, int]]()  # batches, each with its number of records and counts
        self._pending_count = self._batch_number = self._next_record = 0
        self._since_heartbeat = FLUSHES_PER_HEARTBEAT  # in flushes; the first flush sends a heartbeat
        self._skip_flushes, self._stream_full, self._stream_unavailable = 0, False, False
        self._started_ms = self._flushed_ms = self.clock_ms()

    def add_read(
        self,
        credential: Credential,
        service: str,
        purpose: str,
        subjects: Sequence[str],
        answers: Sequence[Answer],
        at_ms: int,
        request_id: str,
    ) -> None:
        """Queue a read of distinct subjects, with their answers in order. The answers must not change afterwards."""
        self._reads.append((credential, service, purpose, subjects, answers, at_ms, request_id))
        if self._thread is None:
            self.start()

    def add_request(self, client: str, route: str, status: int) -> None:
        """Queue the count of an answered request. Client "": no valid credential."""
        self._requests.append((client, route, status))
        if self._thread is None:
            self.start()

    def start(self) -> None:
        """Start the thread, which sends a heartbeat. Call it before the first read: a killed process is then known."""
        with self._starting:
            if self._thread is None:
                self._stopping.clear()
                self._thread = threading.Thread(target=self._run, name="access-log-writer", daemon=True)
                self._thread.start()
                # Unlike atexit's handlers, this also runs at the end of a forked process.
                multiprocessing.util.Finalize(None, self.stop, exitpriority=100)
                log.info("access log writer started", process=self.process, pid=os.getpid())

    def stop(self) -> None:
        """Send what is queued and the shutdown record, and end the thread. A later read starts it again."""
        with self._starting:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._stopping.set()
                thread.join(SHUTDOWN_S + 2 * TIMEOUT_S)

    def _run(self) -> None:
        while True:
            stopping = self._stopping.is_set()
            try:
                self.final_flush() if stopping else self.flush()
            except Exception:  # later records must still be sent; by the numbers, the consumer finds what is missing
                log.exception("access records not sent")
            if stopping:
                return
            self._stopping.wait(FLUSH_S)

    def flush(self) -> None:
        """Pack what was queued since the last flush; send what is pending, and a heartbeat when it is due."""
        self._pack_queued()
        self._since_heartbeat += 1
        if self._skip_flushes:
            self._skip_flushes -= 1
        else:
            self._send()
        self._drop(self._pending_count - MAX_PENDING)
        PENDING.set(self._pending_count)

    def final_flush(self) -> None:
        """The last flush, with the shutdown record. What can't be sent within SHUTDOWN_S is lost, and becomes a gap."""
        self._pack_queued()
        until_s = time.monotonic() + SHUTDOWN_S
        self._send()
        while self._stream_unavailable and time.monotonic() < until_s:
            time.sleep(FLUSH_S)
            self._send()
        self._drop(self._pending_count)  # the stream is full or unavailable
        if not self._stream_unavailable:
            self._pack([], {}, {}, shutdown=True)
            self._stream_full = False  # sent all the same: by the shutdown record the consumer finds what is missing
            self._send()

    def _pack_queued(self) -> None:
        """Pack everything that is in the queues now into pending batches."""
        self._flushed_ms = self.clock_ms()  # before the queues are emptied: every earlier read is then in a batch
        queued = list(_popped(self._reads))
        first = self._next_record
        self._next_record += sum(len(subjects) for _, _, _, subjects, *_ in queued)
        contexts: dict[ContextKey, int] = {}  # with their indices
        reads, evicted = [], dict[str, None]()
        for credential, service, purpose, subjects, answers, at_ms, request_id in queued:
            for subject, answer in zip(subjects, answers, strict=True):
                views = tuple((name, _withheld_reason(view)) for name, view in answer.views.items())
                context = (credential.client, credential.key_id, service, purpose, views)
                reads.append(Read(contexts.setdefault(context, len(contexts)), subject, at_ms, request_id))
                if any(view.reason is EVICTED for view in answer.views.values()):
                    evicted[subject] = None
        requests = collections.Counter(_popped(self._requests))
        for start in range(0, len(reads), MAX_BATCH_READS):
            page, asked = reads[start : start + MAX_BATCH_READS], list(evicted)[:MAX_EVICTED]
            self._pack(page, contexts, requests, first=first + start, evicted=asked)
            requests, evicted = collections.Counter(), {}
        if requests:
            self._pack([], {}, requests)

    def _pack(
        self,
        reads: Sequence[Read],
        contexts: Iterable[ContextKey],
        requests: Mapping[tuple[str, str, int], int],
        *,
        first: int | None = None,
        shutdown: bool = False,
        evicted: Sequence[str] = (),
    ) -> None:
        self._batch_number += 1
        counts = [RequestCount(*key, count) for key, count in requests.items()]
        batch = Batch(
            process=self.process,
            started_ms=self._started_ms,
            number=self._batch_number,
            created_ms=self._flushed_ms,
            first=self._next_record if first is None else first,
            contexts=[_batch_context(*key) for key in contexts],
            reads=list(reads),
            requests=counts,
            shutdown=shutdown,
            evicted=list(evicted),
        )
        count = len(reads) + len(counts)
        self._pending.append((encode(batch), count))
        self._pending_count += count

    def _send(self) -> None:
        heartbeat_due = self._since_heartbeat >= FLUSHES_PER_HEARTBEAT
        if not self._pending and not heartbeat_due:
            return
        try:
            if heartbeat_due:
                self._stream_full = self.stream.size_bytes() >= self.max_stream_bytes
                self._send_heartbeat()
            if not self._stream_full:
                self._send_pending()
        except StreamUnavailable as error:
            if not self._stream_unavailable:
                log.warning(
                    "access records pending: control Redis unavailable", process=self.process, reason=str(error)
                )
            self._stream_unavailable, self._skip_flushes = True, FLUSHES_PER_RETRY
            return
        if self._stream_unavailable:
            log.info("access records sent again", process=self.process)
        self._stream_unavailable = False

    def _send_heartbeat(self) -> None:
        heartbeat = Batch(self.process, self._started_ms, 0, self._flushed_ms, self._next_record)
        self.stream.add([encode(heartbeat)])
        self._since_heartbeat = 0

    def _send_pending(self) -> None:
        while self._pending:
            sending = list(islice(self._pending, MAX_BATCHES_PER_SEND))
            self.stream.add([raw for raw, _ in sending])
            for _, count in sending:
                self._pending.popleft()
                self._pending_count -= count
                SENT.inc(count)

    def _drop(self, count: int) -> None:
        """Drop the oldest batches: as many as hold ``count`` records and counts."""
        dropped = 0
        while dropped < count:
            dropped += self._pending.popleft()[1]
        if dropped:
            self._pending_count -= dropped
            DROPPED.inc(dropped)
            log.error("access records dropped", process=self.process, records=dropped)


def _popped(queue: deque[T]) -> Iterable[T]:
    """The items that are in a queue now; items appended meanwhile stay."""
    for _ in range(len(queue)):
        yield queue.popleft()


def _withheld_reason(view: ViewAnswer) -> str | None:
    """Why a view was withheld; None if its values were given."""
    return None if view.status is not Status.WITHHELD else str(view.reason or view.status)


def _batch_context(
    client: str, credential: str, service: str, purpose: str, views: Iterable[tuple[str, str | None]]
) -> BatchContext:
    given = [name for name, reason in views if reason is None]
    withheld = {name: reason for name, reason in views if reason is not None}
    return BatchContext(client, credential, service, purpose, given, withheld)


@cache
def access_log_writer() -> AccessLogWriter:
    """The access log writer of this process, to the control Redis of this installation."""
    conf = settings()
    stream = RecordStream(conf.control_url, TIMEOUT_S)
    return AccessLogWriter(stream, conf.access_stream_mb * 1_000_000, lambda: time.time_ns() // 1_000_000)
