"""The event streams of this process: how many there may be, what each reads, how all of them end."""

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
from featurestore.api.sse.stream import Pace, Stream
from featurestore.config import Settings
from featurestore.store.change_notifications import ChangeNotifier
from featurestore.store.cluster import ClusterStore
from featurestore.store.protocol import StoreUnavailable
from featurestore.store.redis import RedisNode, RedisStore

OPENED, READ = "features/stream", "features/stream/event"
THREADS = 4  # that open, and as many that read on: an opening never waits behind the events of others
MOST_OPENING = 256  # at once, which takes a quarter of a second; who comes then is told to come again
SILENT_S = 0.25
"""For so long after a node of the store did not answer, nobody else waits for it: a thousand would wait in a row."""
log = structlog.get_logger(__name__)


class Places:
    """Who has how many streams. Shared among threads."""

    def __init__(self, most: int, most_a_client: int) -> None:
        self.most, self.most_a_client = most, most_a_client
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, client: str) -> None:
        """Raises TooManyStreams where the client has all that it may, Unavailable where all have."""
        with self._lock:
            if self._taken[client] >= self.most_a_client:
                raise TooManyStreams(f"A client may have {self.most_a_client} streams of a process. Close some.")
            if self._taken.total() >= self.most:
                raise Unavailable("This process has as many streams as it may.")
            self._taken[client] += 1

    def give_back(self, client: str) -> None:
        with self._lock:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]


class Streams:
    """Opens streams and lets them read. ``run`` is their life: a subscription to the store's word."""

    def __init__(
        self,
        handler: FeatureHandler,
        store: RedisStore | ClusterStore,
        conf: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.handler, self.clock = handler, clock
        self.pace = Pace(conf.sse_heartbeat_s, conf.sse_life_s)
        self.places = Places(conf.sse_streams, conf.sse_client_streams)
        self._openers = ThreadPoolExecutor(THREADS, "sse-open")
        self._readers = ThreadPoolExecutor(THREADS, "sse-read")
        self.changes = ChangeNotifier(store, self._readers)
        self._streams: set[Stream] = set()
        self._opening = 0
        self._silent_until_s: dict[RedisNode, float] = {}
        self._stopping = False

    async def run(self) -> None:
        """Hear of changes; without end."""
        await self.changes.run()

    def stop(self) -> None:
        """End every stream, and those that are about to open."""
        self._stopping = True
        for stream in self._streams:
            stream.end(Ending.STOPPING)

    async def open(self, call: Call) -> tuple[Reply, Stream | None]:
        """The first answer and the stream that goes on from it, to be closed; or why there is none."""
        stream = Stream(call.request_id, lambda: self._read(stream, call), self.pace)
        loop = asyncio.get_running_loop()
        if self._opening >= MOST_OPENING:
            return answer_call(OPENED, raising(Overloaded()), call), None
        self._opening += 1
        work = partial(answer_call, OPENED, partial(self._open, stream, loop), call)
        opening = asyncio.ensure_future(loop.run_in_executor(self._openers, connected, work))
        try:
            reply = await asyncio.shield(opening)
        except asyncio.CancelledError:  # the thread goes on, and nobody will take what it opens
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
        """A stream has ended: its place is free."""
        reason = stream.ending or Ending.FAILED
        log.info("stream ended", reason=reason.value, client=stream.client, request_id=stream.request_id)
        CLOSED.labels(reason).inc()
        self._streams.remove(stream)
        OPEN.dec()
        await self._release(stream)

    def _open(self, stream: Stream, loop: asyncio.AbstractEventLoop, call: Call) -> Reply:
        """In a thread: follow the subject, and only then read, so that no change between the two is missed."""
        asked = self.handler.parse(call)
        credential, question, subject = asked
        if question.as_of is not None:
            raise Unprocessable("A stream tells what is; ask POST /v1/features for what was - at `$.as_of`")
        self.places.take(credential.client)
        stream.client, stream.subject = credential.client, subject
        stream.hurries = question.timeout_ms is not None and question.timeout_ms < self.handler.timeout_ms

        def follow_and_read(call: Call) -> Reply:
            asyncio.run_coroutine_threadsafe(self._follow(stream), loop).result()
            return self.handler.answer(call, asked)

        return self._patiently(stream, follow_and_read, call)

    def _patiently(self, stream: Stream, handle: Handle, call: Call) -> Reply:
        """In a thread: have the store asked, unless it has just failed to answer somebody who would have waited."""
        try:
            node = self.changes.node_of(stream.subject)
            if self.clock() < self._silent_until_s.get(node, 0):
                raise StoreUnavailable("it was silent just now")
            try:
                return handle(call)
            except (StoreUnavailable, Unavailable):
                if not stream.hurries:
                    self._silent_until_s[node] = self.clock() + SILENT_S
                raise
        except StoreUnavailable as error:
            call.log_fields["store"] = str(error)
            raise Unavailable("The store did not answer in time. Nothing was read.") from None

    async def _follow(self, stream: Stream) -> None:
        await self.changes.subscribe(stream.subject, stream.changed, self.handler.timeout_ms / 1000)
        stream.caught_up()

    async def _release(self, stream: Stream) -> None:
        if stream.client:
            self.places.give_back(stream.client)
            await self.changes.unsubscribe(stream.subject, stream.changed)

    async def _read(self, stream: Stream, call: Call) -> Reply:
        """One more read: a call of its own, which is authenticated, guarded, counted and logged as every other."""
        again = Call(call.body, call.authorization, now_ms(), call.request_id, call.trace)
        work = partial(answer_call, READ, partial(self._patiently, stream, self.handler.read_one), again)
        return await asyncio.get_running_loop().run_in_executor(self._readers, connected, work)


def connected(work: Callable[[], Reply]) -> Reply:
    """Do it as a request does: Django closes connections that the database has hung up only between requests."""
    close_old_connections()
    return work()


def raising(problem: Problem) -> Handle:
    """A handler that refuses."""

    def refuse(call: Call) -> Reply:
        raise problem

    return refuse
