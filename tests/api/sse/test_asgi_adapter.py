"""The ASGI application by itself: clients that don't read or don't send, quota, the order of an opening."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from featurestore.access.selectors import Credential
from featurestore.api.errors import TooManyStreams, Unavailable
from featurestore.api.handler import FEATURE_REQUEST, ParsedRequest
from featurestore.api.reply import Call, Reply, encode
from featurestore.api.sse import asgi_adapter, streams
from featurestore.api.sse.metrics import CLOSED
from featurestore.api.sse.streams import OPEN_CIRCUIT_S, StreamQuota, Streams
from featurestore.config import Settings
from featurestore.serving.answer import Answer, Status, ViewAnswer
from featurestore.store.protocol import StoreUnavailable

Message = dict[str, Any]
BODY = json.dumps({"service": "chat", "purpose": "service", "customer_id": "C1"}).encode()
CREDENTIAL = Credential("k", "bot", frozenset(), frozenset(), frozenset(), 1_000)


class Handler:
    """Answers anything; ``done`` is what happened, in order."""

    timeout_ms = 100

    def __init__(self, done: list[str]) -> None:
        self.done = done

    def parse(self, call: Call) -> ParsedRequest:
        return ParsedRequest(CREDENTIAL, FEATURE_REQUEST.decode(call.body), "subject")

    def read_one(self, call: Call) -> Reply:
        return self.answer(call, self.parse(call))

    def answer(self, call: Call, request: ParsedRequest) -> Reply:
        self.done.append("read")
        view = ViewAnswer(Status.PRESENT, "then", 0.1)
        return Reply(200, encode(Answer("chat", "service", "now", {"number": len(self.done)}, {"spend": view})))


class NotifierStub:
    """Change notifications that a test sends."""

    def __init__(self, done: list[str]) -> None:
        self.done, self.told, self.away = done, list[Callable[[], None]](), False

    async def run(self) -> None:
        await asyncio.Event().wait()

    def node_of(self, subject: str) -> str:
        return "node"

    async def subscribe(self, subject: str, told: Callable[[], None], timeout_s: float) -> None:
        if self.away:
            self.done.append("away")
            raise StoreUnavailable("away")
        self.done.append("follow")
        self.told.append(told)

    async def unsubscribe(self, subject: str, told: Callable[[], None]) -> None:
        self.done.append("leave")


class Client:
    """One request to the application, and what it is sent. ``takes`` False: it does not read."""

    def __init__(
        self,
        application: asgi_adapter.EventStreamApp,
        body: bytes = BODY,
        *,
        takes: bool = True,
        sends: bool = True,
        path: str = asgi_adapter.PATH,
        method: str = "POST",
    ) -> None:
        self.sent: list[Message] = []
        self.takes, self.sends, self.left = takes, sends, asyncio.Event()
        headers = [(b"host", b"localhost"), (b"authorization", b"Bearer x")]
        scope = {"type": "http", "path": path, "method": method, "headers": headers}
        self.going = asyncio.create_task(self._go(application(scope, self.receive, self.send)))
        self._body = [{"type": "http.request", "body": body, "more_body": False}] if sends else []

    @staticmethod
    async def _go(request: Awaitable[None]) -> None:
        await request

    async def receive(self) -> Message:
        if self._body:
            return self._body.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not self.takes:
            await asyncio.Event().wait()
        self.sent.append(dict(message))

    async def ends(self) -> None:
        async with asyncio.timeout(5):
            await self.going

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


class Process:
    """The application with its streams, over a handler and word of changes that tests play."""

    def __init__(self, **settings: Any) -> None:
        self.done, self.now_s = list[str](), 0.0
        self.streams = Streams(Handler(self.done), None, Settings(**settings), lambda: self.now_s)  # type: ignore[arg-type]
        self.streams.notifier = NotifierStub(self.done)  # type: ignore[assignment]
        self.application = asgi_adapter.EventStreamApp(lambda: self.streams)
        self.application.streams = self.streams


def ended(reason: str) -> float:
    return CLOSED.labels(reason)._value.get()


def test_subscription_begins_before_the_first_read() -> None:
    async def scene() -> None:
        process = Process()
        client = Client(process.application)
        while len(client.sent) < 3:
            await asyncio.sleep(0)
        assert process.done == ["follow", "read"]
        client.left.set()
        await client.ends()
        assert process.done == ["follow", "read", "leave"]

    asyncio.run(scene())


def test_stream_of_a_client_that_reads_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_adapter, "SEND_S", 0.05)

    async def scene() -> None:
        before, process = ended("slow"), Process()
        client = Client(process.application, takes=False)
        await client.ends()
        assert ended("slow") == before + 1
        assert process.done[-1] == "leave"

    asyncio.run(scene())


def test_body_that_does_not_arrive_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_adapter, "BODY_S", 0.05)

    async def scene() -> None:
        client = Client(Process().application, sends=False)
        await client.ends()
        assert client.status == 400

    asyncio.run(scene())


def test_unavailable_store_is_503_and_releases_the_quota() -> None:
    async def scene() -> None:
        process = Process(sse_streams=1)
        process.streams.notifier.away = True  # type: ignore[attr-defined]
        for _ in range(3):
            client = Client(process.application)
            await client.ends()
            assert client.status == 503
        assert process.done.count("away") == 1, "only the first waited for it"
        process.streams.notifier.away = False  # type: ignore[attr-defined]
        process.now_s += OPEN_CIRCUIT_S
        client = Client(process.application)
        while len(client.sent) < 2:
            await asyncio.sleep(0)
        assert client.status == 200
        client.left.set()
        await client.ends()

    asyncio.run(scene())


def test_short_timeout_does_not_open_the_circuit() -> None:
    async def scene() -> None:
        process = Process()
        process.streams.notifier.away = True  # type: ignore[attr-defined]
        for body in (BODY[:-1] + b', "timeout_ms": 10}', BODY, BODY):
            client = Client(process.application, body)
            await client.ends()
            assert client.status == 503
        assert process.done.count("away") == 2

    asyncio.run(scene())


def test_openings_above_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_OPENING", 2)

    async def scene() -> None:
        process = Process()
        clients = [Client(process.application) for _ in range(3)]
        while not all(client.sent for client in clients):
            await asyncio.sleep(0)
        assert [client.status for client in clients] == [200, 200, 503]
        for client in clients:
            client.left.set()
            await client.ends()

    asyncio.run(scene())


def test_probe_and_404_never_wait_behind_openings() -> None:
    async def scene() -> None:
        process, stuck = Process(), threading.Event()
        process.streams.handler.parse = lambda call: stuck.wait() and None  # type: ignore[assignment]
        openings = [Client(process.application) for _ in range(2 * streams.THREADS)]
        for path, status in (("/healthz", 200), ("/nowhere", 404)):
            client = Client(process.application, path=path, method="GET")
            await client.ends()
            assert client.status == status
        stuck.set()
        for opening in openings:
            await opening.ends()

    asyncio.run(scene())


def test_abandoned_opening_releases_the_quota() -> None:
    async def scene() -> None:
        process, stuck = Process(sse_streams=1), threading.Event()
        answer = process.streams.handler.answer

        def slowly(call: Call, request: ParsedRequest) -> Reply:
            stuck.wait()
            return answer(call, request)

        process.streams.handler.answer = slowly  # type: ignore[method-assign]
        client = Client(process.application)
        while "follow" not in process.done:
            await asyncio.sleep(0)
        client.going.cancel()
        stuck.set()
        while "leave" not in process.done:
            await asyncio.sleep(0)
        process.streams.quota.take("another")

    asyncio.run(scene())


def test_quota_limits_process_and_client() -> None:
    quota = StreamQuota(total=3, per_client=2)
    quota.take("bot")
    quota.take("bot")
    with pytest.raises(TooManyStreams):
        quota.take("bot")
    quota.take("shop")
    with pytest.raises(Unavailable):
        quota.take("desk")
    quota.give_back("bot")
    quota.take("desk")
