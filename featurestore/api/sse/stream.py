"""One stream: the answers that its client has not seen yet, each a read of its own, until something ends it.

However many changes come while one is read, sent, or waited for, they become one read of the newest state: a stream
holds at most one event that its client has not taken.
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
    closing,
    event,
)
from featurestore.api.sse.metrics import COALESCED, EVENTS, SECONDS
from featurestore.permission import Denial
from featurestore.serving.answer import Answer, Status

ANSWER, PROBLEM = msgspec.json.Decoder(Answer), msgspec.json.Decoder(ProblemDocument)
NOTHING = object()
LASTING = {Denial.NO_RECORD, Denial.REFUSED, Denial.EXPIRED}
"""Denials by the customer's own permission; others are the store's, and pass."""


class Pace(NamedTuple):
    """How a stream goes, in seconds."""

    heartbeat_s: float  # a quiet one reads again and says that it lives
    life_s: float  # then it ends
    pause_s: float = 0.05  # the shortest time from read to read: changes meanwhile are told together
    again_s: float = 2.0  # until the next read after one that told of something passing


class Stream:
    """``read`` gives the answer of the moment. Lives in one event loop.

    Known when it has been opened: ``client``, whose place it takes; ``subject``, which it follows; ``hurries``, whether
    it waits for the store less long than others do.
    """

    def __init__(self, request_id: str, read: Callable[[], Awaitable[Reply]], pace: Pace):
        self.request_id, self.read, self.pace = request_id, read, pace
        self.client = self.subject = ""
        self.hurries = False
        self.ending: Ending | None = None
        self._refusal = ""
        self._changed = asyncio.Event()
        self._changed_s = 0.0
        self._told: object = NOTHING
        self._passing = False
        self._number = 0

    def changed(self) -> None:
        """Something may be new."""
        if self._changed.is_set():
            COALESCED.inc()
        else:
            self._changed_s = asyncio.get_running_loop().time()
            self._changed.set()

    def caught_up(self) -> None:
        """What has changed so far is in the next answer."""
        self._changed.clear()

    def end(self, ending: Ending) -> None:
        """End it; the first reason stands."""
        self.ending = self.ending or ending
        self._changed.set()

    async def events(self, first: Reply) -> AsyncIterator[bytes]:
        """What to send, one after the other, from the first answer on; it has been read with nothing changed since."""
        loop = asyncio.get_running_loop()
        reply, read_s = first, loop.time()
        said_s, ends_s = read_s, read_s + self.pace.life_s
        yield BEGINNING
        while True:
            news = self._news(reply)
            if news or read_s > said_s + self.pace.heartbeat_s / 2:
                yield news or HEARTBEAT
                said_s = read_s
            again_s = self.pace.again_s if self._passing else self.pace.heartbeat_s
            changed = await self._wait(min(read_s + again_s, ends_s), read_s + self.pace.pause_s)
            if loop.time() >= ends_s:
                self.end(Ending.LIFETIME)
            if self.ending is not None:
                break
            since_s, read_s = self._changed_s, loop.time()
            self.caught_up()
            reply = await self.read()
            if changed:
                SECONDS.observe(loop.time() - since_s)
        if (last := closing(self.ending, self._refusal)) is not None:
            yield self._counted(Event.CLOSED, encode(last))

    async def _wait(self, until_s: float, earliest_s: float) -> bool:
        """Wait for a change or a time, and then for the earliest time of the next read; whether it was a change."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._changed.wait()
        if self.ending is None and (early_s := earliest_s - loop.time()) > 0:
            await asyncio.sleep(early_s)
        return self._changed.is_set()

    def _news(self, reply: Reply) -> bytes:
        """The event that tells a reply; none where it says what the last one said."""
        if reply.status == HTTPStatus.OK:
            answer = ANSWER.decode(reply.body)
            views = answer.views.values()
            self._passing = any(view.status == Status.STALE or view.reason == Denial.UNVOUCHED for view in views)
            if any(view.reason in LASTING for view in views):
                self.end(Ending.WITHHELD)
            told = answer.features, [(view.status, view.reason) for view in views]
            return self._once(told, Event.FEATURES, reply)
        self._passing = True
        if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR and reply.status != HTTPStatus.TOO_MANY_REQUESTS:
            self._refusal = PROBLEM.decode(reply.body).detail
            self.end(Ending.REFUSED)
            return b""
        return self._once(None, Event.UNAVAILABLE, reply)

    def _once(self, told: object, name: Event, reply: Reply) -> bytes:
        if told == self._told:
            return b""
        self._told = told
        return self._counted(name, reply.body)

    def _counted(self, name: Event, data: bytes) -> bytes:
        EVENTS.labels(name).inc()
        self._number += 1
        return event(name, data, f"{self.request_id}-{self._number}")
