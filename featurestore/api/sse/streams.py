"""The event streams of a process: how they are opened, limited, read and ended."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus

import structlog
from django.db import close_old_connections

from featurestore.api.errors import Overloaded, Problem, TooManyStreams, Unavailable, Unprocessable
from featurestore.api.handler import FeatureHandler
from featurestore.api.reply import Call, Handle, Reply
from featurestore.api.request_cycle import answer_call, now_ms
from featurestore.api.sse.events import Ending
from featurestore.api.sse.metrics import CLOSED, OPEN
from featurestore.api.sse.stream import Stream, Timing
from featurestore.config import Settings
from featurestore.store.change_notifications import ChangeNotifier
from featurestore.store.cluster import ClusterStore
from featurestore.store.protocol import StoreUnavailable
from featurestore.store.redis import RedisNode, RedisStore

OPEN_ROUTE, READ_ROUTE = "features/stream", "features/stream/event"
THREADS = 4  # to open streams, and as many to read for open ones: opening never waits behind reads
MAX_OPENING = 256  # at once, which takes a quarter of a second; further ones are refused
OPEN_CIRCUIT_S = 0.25
"""After a node of the store did not answer, no stream waits for it during this time: a thousand would, in turn."""
log = structlog.get_logger(__name__)


class StreamQuota:
    """Limits of open streams, of the process and of each client. Shared among threads."""

    def __init__(self, total: int, per_client: int) -> None:
        self.total, self.per_client = total, per_client
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, client: str) -> None:
        """Count a stream. Raises TooManyStreams at the client's limit, Unavailable at the process's."""
        with self._lock:
            if self._taken[client] >= self.per_client:
                raise TooManyStreams(f"A client may have {self.per_client} streams of a process. Close some.")
            if self._taken.total() >= self.total:
                raise Unavailable("This process has as many streams as it may.")
            self._taken[client] += 1

    def give_back(self, client: str) -> None:
        with self._lock:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]


class Streams:
    """The open streams of a process, their threads and their subscriptions to change notifications."""

    def __init__(
        self,
        handler: FeatureHandler,
        store: RedisStore | ClusterStore,
        conf: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.handler, self.clock = handler, clock
        self.timing = Timing(conf.sse_heartbeat_s, conf.sse_life_s)
        self.quota = StreamQuota(conf.sse_streams, conf.sse_client_streams)
        self._openers = ThreadPoolExecutor(THREADS, "sse-open")
        self._readers = ThreadPoolExecutor(THREADS, "sse-read")
        self.notifier = ChangeNotifier(store, self._readers)
        self._streams: set[Stream] = set()
        self._opening = 0
        self._open_circuits_s: dict[RedisNode, float] = {}
        self._stopping = False

    def stop(self) -> None:
        """End every stream, also those that are being opened."""
        self._stopping = True
        for stream in self._streams:
            stream.end(Ending.STOPPING)

    async def open(self, call: Call) -> tuple[Reply, Stream | None]:
        """The first answer and the stream that follows it, which must be closed; or a problem and None."""
        stream = Stream(call.request_id, lambda: self._read(stream, call), self.timing)
        loop = asyncio.get_running_loop()
        if self._opening >= MAX_OPENING:
            return answer_call(OPEN_ROUTE, problem_handler(Overloaded()), call), None
        self._opening += 1
        work = partial(answer_call, OPEN_ROUTE, partial(self._open, stream, loop), call)
        opening = asyncio.ensure_future(loop.run_in_executor(self._openers, run_as_request, work))
        try:
            reply = await asyncio.shield(opening)
        except asyncio.CancelledError:  # the thread continues to open a stream that no client will use
            opening.add_done_callback(lambda _: asyncio.ensure_future(self._release(stream)))
            raise
        finally:
            self._opening -= 1
        if reply.status != HTTPStatus.OK:
            await self._release(stream)
            return reply, None
        self._streams.add(stream)
        OPEN.inc()
        if self._stopping:
            stream.end(Ending.STOPPING)
        return reply, stream

    async def close(self, stream: Stream) -> None:
        """Release all that an ended stream held."""
        reason = stream.ending or Ending.FAILED
        log.info("stream ended", reason=reason.value, client=stream.client, request_id=stream.request_id)
        CLOSED.labels(reason).inc()
        self._streams.remove(stream)
        OPEN.dec()
        await self._release(stream)

    def _open(self, stream: Stream, loop: asyncio.AbstractEventLoop, call: Call) -> Reply:
        """In a thread: subscribe to the subject, and only then read, so that no change between the two is missed."""
        request = self.handler.parse(call)
        credential, query, subject = request
        if query.as_of is not None:
            raise Unprocessable("A stream answers for now; use POST /v1/features for an earlier time - at `$.as_of`")
        self.quota.take(credential.client)
        stream.client, stream.subject = credential.client, subject
        stream.short_timeout = query.timeout_ms is not None and query.timeout_ms < self.handler.timeout_ms

        def subscribe_and_read(call: Call) -> Reply:
            asyncio.run_coroutine_threadsafe(self._subscribe(stream), loop).result()
            return self.handler.answer(call, request)

        return self._with_circuit_breaker(stream, subscribe_and_read, call)

    def _with_circuit_breaker(self, stream: Stream, handle: Handle, call: Call) -> Reply:
        """In a thread: answer, unless the subject's node has just not answered within the default timeout."""
        try:
            node = self.notifier.node_of(stream.subject)
            if self.clock() < self._open_circuits_s.get(node, 0):
                raise StoreUnavailable("it did not answer a moment ago")
            try:
                return handle(call)
            except (StoreUnavailable, Unavailable):
                if not stream.short_timeout:
                    self._open_circuits_s[node] = self.clock() + OPEN_CIRCUIT_S
                raise
        except StoreUnavailable as error:
            call.log_fields["store"] = str(error)
            raise Unavailable("The store did not answer in time. Nothing was read.") from None

    async def _subscribe(self, stream: Stream) -> None:
        await self.notifier.subscribe(stream.subject, stream.on_change, self.handler.timeout_ms / 1000)
        stream.forget_changes()

    async def _release(self, stream: Stream) -> None:
        if stream.client:
            self.quota.give_back(stream.client)
            await self.notifier.unsubscribe(stream.subject, stream.on_change)

    async def _read(self, stream: Stream, call: Call) -> Reply:
        """Another read for a stream: a call of its own, authenticated, guarded, counted and logged like all others."""
        again = Call(call.body, call.authorization, now_ms(), call.request_id, call.trace)
        work = partial(
            answer_call, READ_ROUTE, partial(self._with_circuit_breaker, stream, self.handler.read_one), again
        )
        return await asyncio.get_running_loop().run_in_executor(self._readers, run_as_request, work)


def run_as_request(work: Callable[[], Reply]) -> Reply:
    """Run a call as Django runs a request: first it drops connections that the database has closed."""
    close_old_connections()
    return work()


def problem_handler(problem: Problem) -> Handle:
    """A handler that raises a problem."""

    def refuse(call: Call) -> Reply:
        raise problem

    return refuse
