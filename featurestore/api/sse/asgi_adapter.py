"""The event streams' door: an ASGI application of its own, beside Django's, in front of the same handler.

It serves one route and the pages for probes; everything else is a problem document, as at every door.
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
from featurestore.api.errors import Malformed, MethodNotAllowed, NotFound, Problem
from featurestore.api.fast_path import is_ours
from featurestore.api.handler import feature_handler
from featurestore.api.reply import Call, Reply
from featurestore.api.request_cycle import answer_call, call_of, response_headers
from featurestore.api.sse.events import MEDIA_TYPE, Ending
from featurestore.api.sse.streams import Streams, connected, raising
from featurestore.config import settings
from featurestore.store import configured

log = structlog.get_logger(__name__)

PATH = "/v1/features/stream"
BODY_S = 10.0
"""A body that is not there by then is refused."""
SEND_S = 10.0
"""A client that takes nothing for so long, with its connection's buffers full, is left."""

ALIVE, READY, METRICS = PAGES = ("/healthz", "/readyz", "/metrics")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class EventStreamApp:
    """The ASGI application of a process. ``make`` is called once its event loop runs."""

    def __init__(self, make: Callable[[], Streams]) -> None:
        self.make = make

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            # A task of asyncio's own: time-outs don't work within the server's.
            await asyncio.create_task(self._answer(scope, receive, send))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self.streams = self.make()
        checks = {**health.CHECKS, "changes": lambda: health.OK if self.streams.changes.connected else health.AWAY}
        self._pages: dict[str, Callable[[], Reply]] = {READY: partial(health.ready, checks), METRICS: health.counted}
        self._probers = ThreadPoolExecutor(
            1, "sse-probe"
        )  # behind a slow store openings wait, but no probe behind them
        running = asyncio.create_task(self.streams.run())
        running.add_done_callback(end_process)
        # Granian waits for open connections before it says that it stops. Its own handler is the event loop's, which
        # hears of a signal by another way, and stays.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._stop))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        running.cancel()
        await asyncio.wait([running])
        await send({"type": "lifespan.shutdown.complete"})

    def _stop(self) -> None:
        drain_state.start()
        self.streams.stop()

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"])
        host, authorization, own_id, traceparent = (
            given.get(name, b"").decode("latin-1")
            for name in (b"host", b"authorization", b"x-request-id", b"traceparent")
        )
        call = call_of(b"", authorization, own_id, traceparent)
        path, method = scope["path"], scope["method"]
        refused = refusal(path, method, host)
        if refused is None and path == PATH:
            try:
                call.body = await body_of(receive)
            except TimeoutError:
                refused = Malformed(f"The body did not arrive in {BODY_S:.0f} s.")
            else:
                await self._stream(call, receive, send)
                return
        if refused is not None:
            reply = answer_call("unknown", raising(refused), call)
        elif path == ALIVE:
            reply = health.alive()
        else:
            asked = partial(connected, self._pages[path])
            reply = await asyncio.get_running_loop().run_in_executor(self._probers, asked)
        await respond(send, reply, call, bodiless=method == "HEAD")

    async def _stream(self, call: Call, receive: Receive, send: Send) -> None:
        reply, stream = await self.streams.open(call)
        if stream is None:
            await respond(send, reply, call)
            return
        leaving = asyncio.ensure_future(receive())
        leaving.add_done_callback(lambda _: stream.end(Ending.GONE))
        try:
            await send(start(Reply(200, b"", MEDIA_TYPE, {"X-Accel-Buffering": "no"}), call))
            async for said in stream.events(reply):
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": said, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            stream.end(Ending.SLOW)
        finally:
            await self.streams.close(stream)
            leaving.cancel()


async def body_of(receive: Receive) -> bytes:
    """A request's body; one byte more than allowed is enough to see that there are too many. Raises TimeoutError."""
    body, more = b"", True
    async with asyncio.timeout(BODY_S):
        while more and len(body) <= LARGEST_BODY_BYTES:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
    return body


def start(reply: Reply, call: Call) -> Message:
    pairs = [(name.lower().encode(), value.encode()) for name, value in response_headers(reply, call).items()]
    return {"type": "http.response.start", "status": reply.status, "headers": pairs}


async def respond(send: Send, reply: Reply, call: Call, *, bodiless: bool = False) -> None:
    await send(start(reply, call))
    await send({"type": "http.response.body", "body": b"" if bodiless else reply.body})


def refusal(path: str, method: str, host: str) -> Problem | None:
    """Why a request is not even looked at. Probes may name any host."""
    if path != PATH and path not in PAGES:
        return NotFound(f"Event streams are at {PATH}; the rest of the API is another process's.")
    allowed = ("POST",) if path == PATH else ("GET", "HEAD")
    if method not in allowed:
        return MethodNotAllowed(f"Use {', '.join(allowed)}.", {"Allow": ", ".join(allowed)})
    if path == PATH and not is_ours(host):
        return Malformed("The Host header names no host of this installation.")
    return None


def end_process(running: "asyncio.Task[None]") -> None:
    """Without word of changes a process is worth nothing: its supervisor starts another."""
    if not running.cancelled() and (error := running.exception()):
        log.error("no word of changes any more: the process ends", exc_info=error)
        signal.raise_signal(signal.SIGTERM)


def event_stream_app() -> EventStreamApp:
    """The process's door, over the catalog and the store of this installation."""
    return EventStreamApp(lambda: Streams(feature_handler(), configured.store(), settings()))
