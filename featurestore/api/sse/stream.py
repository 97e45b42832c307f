"""One event stream: each answer is a read of its own, sent if it differs from the one before.

All changes during a read, a send or a pause become one read of the newest state: a stream holds at most one event
that its client has not received.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from featurestore.api.errors import ProblemDocument
from featurestore.api.reply import Reply, encode
from featurestore.api.sse.events import (
    BEGINNING,
    HEARTBEAT,
    Ending,
    Event,
    closed,
    encode_event,
)
from featurestore.api.sse.metrics import COALESCED, EVENTS, SECONDS
from featurestore.permission import Denial
from featurestore.serving.answer import Answer, Status

ANSWER, PROBLEM = msgspec.json.Decoder(Answer), msgspec.json.Decoder(ProblemDocument)
NOTHING_SENT = object()
PERMANENT = {Denial.NO_RECORD, Denial.REFUSED, Denial.EXPIRED, Denial.PAUSED}
"""Denials by the customer's permission. Those by the state of the store are temporary."""


class Timing(NamedTuple):
    """Intervals of a stream, in seconds."""

    heartbeat_s: float  # without a change: from read to read, and a heartbeat
    life_s: float  # from opening to the end
    pause_s: float = 0.05  # from read to read at least: changes within it become one event
    retry_s: float = 2.0  # from a temporary state to the next read


class Stream:
    """A stream in one event loop. ``read`` returns the answer of the moment.

    Set while it is opened: ``client``, whose quota it uses; ``subject``; ``short_timeout``, whether its reads wait for
    the store for less than the default.
    """

    def __init__(self, request_id: str, read: Callable[[], Awaitable[Reply]], timing: Timing):
        self.request_id, self.read, self.timing = request_id, read, timing
        self.client = self.subject = ""
        self.short_timeout = False
        self.ending: Ending | None = None
        self._refusal = ""
        self._changed = asyncio.Event()
        self._changed_s = 0.0
        self._last_sent: object = NOTHING_SENT
        self._temporary = False
        self._number = 0

    def on_change(self) -> None:
        """Note that the answer may have changed."""
        if self._changed.is_set():
            COALESCED.inc()
        else:
            self._changed_s = asyncio.get_running_loop().time()
            self._changed.set()

    def forget_changes(self) -> None:
        """Note that the next read covers all changes so far."""
        self._changed.clear()

    def end(self, ending: Ending) -> None:
        """End the stream; the first reason counts."""
        self.ending = self.ending or ending
        self._changed.set()

    async def events(self, first: Reply) -> AsyncIterator[bytes]:
        """The bytes to send, from the first answer on, which must have been read after the subscription began."""
        loop = asyncio.get_running_loop()
        reply, read_s = first, loop.time()
        sent_s, ends_s = read_s, read_s + self.timing.life_s
        yield BEGINNING
        while True:
            event = self._event_of(reply)
            if event or read_s > sent_s + self.timing.heartbeat_s / 2:
                yield event or HEARTBEAT
                sent_s = read_s
            again_s = self.timing.retry_s if self._temporary else self.timing.heartbeat_s
            changed = await self._wait(min(read_s + again_s, ends_s), read_s + self.timing.pause_s)
            if loop.time() >= ends_s:
                self.end(Ending.LIFETIME)
            if self.ending is not None:
                break
            since_s, read_s = self._changed_s, loop.time()
            self.forget_changes()
            reply = await self.read()
            if changed:
                SECONDS.observe(loop.time() - since_s)
        if (last := closed(self.ending, self._refusal)) is not None:
            yield self._encode(Event.CLOSED, encode(last))

    async def _wait(self, until_s: float, earliest_s: float) -> bool:
        """Wait for a change or a time, then for the earliest time of the next read. Whether anything changed."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._changed.wait()
        if self.ending is None and (early_s := earliest_s - loop.time()) > 0:
            await asyncio.sleep(early_s)
        return self._changed.is_set()

    def _event_of(self, reply: Reply) -> bytes:
        """The event of a reply; empty if it equals the last one."""
        if reply.status == HTTPStatus.OK:
            answer = ANSWER.decode(reply.body)
            views = answer.views.values()
            self._temporary = any(view.status == Status.STALE or view.reason == Denial.UNVOUCHED for view in views)
            if any(view.reason in PERMANENT for view in views):
                self.end(Ending.WITHHELD)
            content = answer.features, [(view.status, view.reason, view.start, view.unchecked_until) for view in views]
            return self._unless_repeated(content, Event.FEATURES, reply)
        self._temporary = True
        if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR and reply.status != HTTPStatus.TOO_MANY_REQUESTS:
            self._refusal = PROBLEM.decode(reply.body).detail
            self.end(Ending.REFUSED)
            return b""
        return self._unless_repeated(None, Event.UNAVAILABLE, reply)

    def _unless_repeated(self, content: object, name: Event, reply: Reply) -> bytes:
        if content == self._last_sent:
            return b""
        self._last_sent = content
        return self._encode(name, reply.body)

    def _encode(self, name: Event, data: bytes) -> bytes:
        EVENTS.labels(name).inc()
        self._number += 1
        return encode_event(name, data, f"{self.request_id}-{self._number}")
