"""Adapter of the event streams: an ASGI application, beside Django's, in front of the same handler.

It serves one route and the health pages; every other request gets a problem document, as from every adapter.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import structlog

from featurestore.api import health
from featurestore.api.body import LARGEST_BODY_BYTES
from featurestore.api.draining import drain_state
from featurestore.api.errors import Malformed, MethodNotAllowed, NotFound, Problem, TooOften
from featurestore.api.fast_path import is_allowed_host
from featurestore.api.handler import feature_handler
from featurestore.api.public_pages import AddressLimit
from featurestore.api.recent_reply import RecentReply
from featurestore.api.reply import Call, Reply
from featurestore.api.request_cycle import answer_call, call_of, response_headers
from featurestore.api.sse.events import MEDIA_TYPE, Ending
from featurestore.api.sse.streams import Streams, problem_handler, run_as_request
from featurestore.config import settings
from featurestore.store import configured

log = structlog.get_logger(__name__)

PATH = "/v1/features/stream"
BODY_S = 10.0
"""A request whose body takes longer is refused."""
SEND_S = 10.0
"""The stream of a client that reads nothing for so long, with its connection's buffers full, is closed."""

UNBUFFERED = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
"""Headers of a stream, for proxies: store nothing, compress nothing (that would hold events back), pass on at once."""

ALIVE, READY, METRICS = PAGES = ("/healthz", "/readyz", "/metrics")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class EventStreamApp:
    """The ASGI application of a process. ``make_streams`` is called when its event loop runs."""

    def __init__(self, make_streams: Callable[[], Streams]) -> None:
        self.make_streams = make_streams

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            # In a task of asyncio: its timeouts don't work in the server's own tasks.
            await asyncio.create_task(self._answer(scope, receive, send))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.streams = self.make_streams()
        checks = {**health.CHECKS, "changes": self._changes}
        readiness = RecentReply(lambda: health.ready(checks))
        self._pages: dict[str, Callable[[], Reply]] = {
            READY: partial(health.readiness, readiness),
            METRICS: RecentReply(health.own_metrics).get,
        }
        self._limit = AddressLimit()
        self._probers = ThreadPoolExecutor(1, "sse-probe")  # opening may wait for a slow store, and no probe for that
        running = asyncio.create_task(self.streams.notifier.run())
        running.add_done_callback(end_process)
        # Granian waits for open connections before it sends the shutdown message: streams must end on the signal. Its
        # own handler, the event loop's, gets signals another way and still runs.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._stop))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        running.cancel()
        await asyncio.wait([running])
        await send({"type": "lifespan.shutdown.complete"})

    def _changes(self) -> str:
        return health.OK if self.streams.notifier.connected else health.UNAVAILABLE

    def _stop(self) -> None:
        drain_state.start()
        self.streams.stop()

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        host, authorization, own_id, traceparent = (
            headers.get(name, b"").decode("latin-1")
            for name in (b"host", b"authorization", b"x-request-id", b"traceparent")
        )
        call = call_of(b"", authorization, own_id, traceparent)
        path, method = scope["path"], scope["method"]
        refusal = refusal_of(path, method, host)
        if path in (READY, METRICS) and not self._limit.admits((scope.get("client") or ("",))[0]):
            refusal = TooOften()
        if refusal is None and path == PATH:
            try:
                call.body = await body_of(receive)
            except TimeoutError:
                refusal = Malformed(f"The body did not arrive in {BODY_S:.0f} s.")
            else:
                await self._stream(call, receive, send)
                return
        if refusal is not None:
            reply = answer_call("unknown", problem_handler(refusal), call)
        elif path == ALIVE:
            reply = health.alive()
        else:
            page = partial(run_as_request, self._pages[path])
            reply = await asyncio.get_running_loop().run_in_executor(self._probers, page)
        await send_reply(send, reply, call, bodiless=method == "HEAD")

    async def _stream(self, call: Call, receive: Receive, send: Send) -> None:
        reply, stream = await self.streams.open(call)
        if stream is None:
            await send_reply(send, reply, call)
            return
        disconnected = asyncio.ensure_future(receive())
        disconnected.add_done_callback(lambda _: stream.end(Ending.GONE))
        try:
            await send(start_message(Reply(200, b"", MEDIA_TYPE, UNBUFFERED), call))
            async for event in stream.events(reply):
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            stream.end(Ending.SLOW)
        finally:
            await self.streams.close(stream)
            disconnected.cancel()


async def body_of(receive: Receive) -> bytes:
    """A request's body, read up to just above the limit. Raises TimeoutError."""
    body, more = b"", True
    async with asyncio.timeout(BODY_S):
        while more and len(body) <= LARGEST_BODY_BYTES:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
    return body


def start_message(reply: Reply, call: Call) -> Message:
    pairs = [(name.lower().encode(), value.encode()) for name, value in response_headers(reply, call).items()]
    return {"type": "http.response.start", "status": reply.status, "headers": pairs}


async def send_reply(send: Send, reply: Reply, call: Call, *, bodiless: bool = False) -> None:
    await send(start_message(reply, call))
    await send({"type": "http.response.body", "body": b"" if bodiless else reply.body})


def refusal_of(path: str, method: str, host: str) -> Problem | None:
    """The problem of a request to another path, method or host. Health pages are served under any host."""
    if path != PATH and path not in PAGES:
        return NotFound(f"Event streams are at {PATH}; another process serves the rest of the API.")
    allowed = ("POST",) if path == PATH else ("GET", "HEAD")
    if method not in allowed:
        return MethodNotAllowed(f"Use {', '.join(allowed)}.", {"Allow": ", ".join(allowed)})
    if path == PATH and not is_allowed_host(host):
        return Malformed("The Host header names no host of this installation.")
    return None


def end_process(running: "asyncio.Task[None]") -> None:
    """Have the supervisor start another process: without change notifications this one is useless."""
    if not running.cancelled() and (error := running.exception()):
        log.error("change notifications failed: the process ends", exc_info=error)
        signal.raise_signal(signal.SIGTERM)


def event_stream_app() -> EventStreamApp:
    """The application of this process, over the catalog and the store of this installation."""
    return EventStreamApp(lambda: Streams(feature_handler(), configured.store(), settings()))
