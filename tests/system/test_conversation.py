"""A conversation's events through the API, with the real processes: each counts once, however often it is sent."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from devservers.installation import Installation, answers, installation
from devservers.kafka.broker import Broker, missing_programs
from devservers.ports import free_port
from devservers.redis_server import RedisServer
from devservers.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(300)]

TIMEOUT_S = 1.0


class Chat:
    """A conversation whose events are sent through two API processes."""

    def __init__(self, made: Installation, apis: list[httpx.Client]) -> None:
        self.made, self.apis = made, apis

    def give_consent(self, customer_id: str) -> None:
        self.apis[0].post("/v1/customers", json={"customer_id": customer_id, "region": "EU", "brand": "lamp"})
        decision = {"purpose": "service", "decision": "given", "notice": "privacy/1/en", "method": "chat"}
        answer = self.apis[0].post("/v1/consents", json={"customer_id": customer_id, **decision})
        assert answer.status_code == 201, answer.text
        since_s = datetime.fromisoformat(answer.json()["since"]).timestamp()
        eventually(lambda: time.time() > since_s, "the consent is in effect")

    def message(self, number: int, customer_id: str = "ann", **data: Any) -> dict[str, Any]:
        data = {"author": "customer", "conversation_id": "c1", **data}
        time_ = datetime.now(UTC).isoformat()
        return {"source": "chat", "customer_id": customer_id, "id": f"m{number}", "time": time_, "data": data}

    def write(self, *messages: dict[str, Any], api: int = 0) -> httpx.Response:
        return self.apis[api].post("/v1/events", json={"events": messages})

    def counted(self, customer_id: str = "ann") -> int:
        question = {"service": "support_chat", "purpose": "service", "customer_id": customer_id}
        answer = self.apis[0].post("/v1/features", json=question | {"features": ["customer_messages_1d"]})
        value = answer.json()["features"]["customer_messages_1d"] if answer.status_code == 200 else None
        return -1 if value is None else int(value)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A Kafka of this test's own, which it pauses."""
    if reason := missing_programs():
        pytest.skip(reason)
    made = Broker(tmp_path / "kafka", short_lived=True)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def chat(broker: Broker, tmp_path: Path) -> Iterator[Chat]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    options = {"event_timeout_ms": int(TIMEOUT_S * 1000), "stream_session_ms": 20_000}
    with installation(tmp_path, kafka=broker.bootstrap, store=server.url, **options) as made:
        made.prepare()
        made.start_store_verifier()
        made.start_worker()
        first = made.start_api()
        made.api_port = free_port()
        second = made.client(first.headers["Authorization"].removeprefix("Bearer "))
        made.start("api-2", *made.api_command)
        eventually(lambda: answers(second), "the second API answers")
        eventually(lambda: first.get("/readyz").status_code == 200, "the API is ready")
        yield Chat(made, [first, second])
    server.stop()


def told(written: httpx.Response) -> list[str]:
    """What the API tells of each event."""
    assert written.status_code == 202
    return [result["status"] for result in written.json()["results"]]


def test_each_event_counts_once_however_often_it_is_sent(chat: Chat, broker: Broker) -> None:
    chat.give_consent("ann")
    message = chat.message(1, sentiment=-0.5)
    assert told(chat.write(message, message)) == ["accepted", "duplicate"]
    eventually(lambda: told(chat.write(message, api=1)) == ["duplicate"], "another process knows it, too")
    assert told(chat.write(chat.message(2), chat.message(3, "nobody"), api=1)) == ["accepted", "not_counted"]
    eventually(lambda: chat.counted() == 2, "both events are served")

    assert broker.process
    os.kill(broker.process.pid, signal.SIGSTOP)
    late, began_s = chat.message(4), time.monotonic()
    try:
        away = chat.write(late)
        took_s = time.monotonic() - began_s
        assert (away.status_code, away.headers["Retry-After"]) == (503, "1")
        assert TIMEOUT_S <= took_s < TIMEOUT_S + 20
        assert chat.counted() == 2, "reads do not wait for Kafka"
    finally:
        os.kill(broker.process.pid, signal.SIGCONT)
    eventually(lambda: chat.counted() == 3, "the timed-out event has arrived all the same")
    eventually(lambda: chat.write(late).status_code == 202, "the event writer has recovered by itself")
    assert chat.write(late, api=1).status_code == 202
    assert chat.write(chat.message(5)).status_code == 202
    eventually(lambda: chat.counted() >= 4, "later events count")
    assert chat.counted() == 4, "events sent again are recognised as duplicates"

    lines = [line for line in chat.made.logs("api") if line.get("route") == "events"]
    assert {line["status"] for line in lines} == {202, 503}
    assert "ann" not in str(lines)
