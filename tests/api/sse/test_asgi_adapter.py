"""The ASGI application without a server: clients that don't read or send, quotas, the order of an opening."""

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


class HandlerStub:
    """A handler that answers every request; ``done`` lists what happened, in order."""

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
    """Subscriptions to changes that never come; ``unavailable``: the store does not answer."""

    def __init__(self, done: list[str]) -> None:
        self.done, self.unavailable = done, False

    async def run(self) -> None:
        await asyncio.Event().wait()

    def node_of(self, subject: str) -> str:
        return "node"

    async def subscribe(self, subject: str, on_change: Callable[[], None], timeout_s: float) -> None:
        if self.unavailable:
            self.done.append("unavailable")
            raise StoreUnavailable("unavailable")
        self.done.append("subscribe")

    async def unsubscribe(self, subject: str, on_change: Callable[[], None]) -> None:
        self.done.append("unsubscribe")


class ClientStub:
    """One request to the application, and the messages it is sent. It may never read, or never send its body."""

    def __init__(
        self,
        application: asgi_adapter.EventStreamApp,
        body: bytes = BODY,
        *,
        reads: bool = True,
        sends: bool = True,
        path: str = asgi_adapter.PATH,
        method: str = "POST",
    ) -> None:
        self.sent: list[Message] = []
        self.reads, self.sends, self.disconnected = reads, sends, asyncio.Event()
        headers = [(b"host", b"localhost"), (b"authorization", b"Bearer x")]
        scope = {"type": "http", "path": path, "method": method, "headers": headers}
        self.task = asyncio.create_task(self._go(application(scope, self.receive, self.send)))
        self._body = [{"type": "http.request", "body": body, "more_body": False}] if sends else []

    @staticmethod
    async def _go(request: Awaitable[None]) -> None:
        await request

    async def receive(self) -> Message:
        if self._body:
            return self._body.pop()
        await self.disconnected.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not self.reads:
            await asyncio.Event().wait()
        self.sent.append(dict(message))

    async def wait(self) -> None:
        async with asyncio.timeout(5):
            await self.task

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


class ProcessHarness:
    """The application with its streams, over stubs of the handler and the notifier."""

    def __init__(self, **settings: Any) -> None:
        self.done, self.now_s = list[str](), 0.0
        self.streams = Streams(HandlerStub(self.done), None, Settings(**settings), lambda: self.now_s)  # type: ignore[arg-type]
        self.streams.notifier = NotifierStub(self.done)  # type: ignore[assignment]
        self.application = asgi_adapter.EventStreamApp(lambda: self.streams)
        self.application.streams = self.streams


def closed_streams(reason: str) -> float:
    return CLOSED.labels(reason)._value.get()


def test_subscription_begins_before_the_first_read() -> None:
    async def scenario() -> None:
        process = ProcessHarness()
        client = ClientStub(process.application)
        while len(client.sent) < 3:
            await asyncio.sleep(0)
        assert process.done == ["subscribe", "read"]
        client.disconnected.set()
        await client.wait()
        assert process.done == ["subscribe", "read", "unsubscribe"]

    asyncio.run(scenario())


def test_stream_of_a_client_that_reads_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_adapter, "SEND_S", 0.05)

    async def scenario() -> None:
        before, process = closed_streams("slow"), ProcessHarness()
        client = ClientStub(process.application, reads=False)
        await client.wait()
        assert closed_streams("slow") == before + 1
        assert process.done[-1] == "unsubscribe"

    asyncio.run(scenario())


def test_body_that_does_not_arrive_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_adapter, "BODY_S", 0.05)

    async def scenario() -> None:
        client = ClientStub(ProcessHarness().application, sends=False)
        await client.wait()
        assert client.status == 400

    asyncio.run(scenario())


def test_unavailable_store_is_503_and_releases_the_quota() -> None:
    async def scenario() -> None:
        process = ProcessHarness(sse_streams=1)
        process.streams.notifier.unavailable = True  # type: ignore[attr-defined]
        for _ in range(3):
            client = ClientStub(process.application)
            await client.wait()
            assert client.status == 503
        assert process.done.count("unavailable") == 1, "only the first waited for it"
        process.streams.notifier.unavailable = False  # type: ignore[attr-defined]
        process.now_s += OPEN_CIRCUIT_S
        client = ClientStub(process.application)
        while len(client.sent) < 2:
            await asyncio.sleep(0)
        assert client.status == 200
        client.disconnected.set()
        await client.wait()

    asyncio.run(scenario())


def test_short_timeout_does_not_open_the_circuit() -> None:
    async def scenario() -> None:
        process = ProcessHarness()
        process.streams.notifier.unavailable = True  # type: ignore[attr-defined]
        for body in (BODY[:-1] + b', "timeout_ms": 10}', BODY, BODY):
            client = ClientStub(process.application, body)
            await client.wait()
            assert client.status == 503
        assert process.done.count("unavailable") == 2

    asyncio.run(scenario())


def test_openings_above_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_OPENING", 2)

    async def scenario() -> None:
        process = ProcessHarness()
        clients = [ClientStub(process.application) for _ in range(3)]
        while not all(client.sent for client in clients):
            await asyncio.sleep(0)
        assert [client.status for client in clients] == [200, 200, 503]
        for client in clients:
            client.disconnected.set()
            await client.wait()

    asyncio.run(scenario())


def test_probe_and_404_never_wait_behind_openings() -> None:
    async def scenario() -> None:
        process, stuck = ProcessHarness(), threading.Event()
        process.streams.handler.parse = lambda call: stuck.wait() and None  # type: ignore[assignment]
        openings = [ClientStub(process.application) for _ in range(2 * streams.THREADS)]
        for path, status in (("/healthz", 200), ("/nowhere", 404)):
            client = ClientStub(process.application, path=path, method="GET")
            await client.wait()
            assert client.status == status
        stuck.set()
        for opening in openings:
            await opening.wait()

    asyncio.run(scenario())


def test_abandoned_opening_releases_the_quota() -> None:
    async def scenario() -> None:
        process, stuck = ProcessHarness(sse_streams=1), threading.Event()
        answer = process.streams.handler.answer

        def slowly(call: Call, request: ParsedRequest) -> Reply:
            stuck.wait()
            return answer(call, request)

        process.streams.handler.answer = slowly  # type: ignore[method-assign]
        client = ClientStub(process.application)
        while "subscribe" not in process.done:
            await asyncio.sleep(0)
        client.task.cancel()
        stuck.set()
        while "unsubscribe" not in process.done:
            await asyncio.sleep(0)
        process.streams.quota.take("another")

    asyncio.run(scenario())


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
