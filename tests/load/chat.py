"""Locust users of chat traffic: conversations, some with event streams; batch reads; bursts; consent changes.

Conversations share one connection pool, as in a chat engine, and a wait for a connection counts as a wait for the API.
Every answer is checked; a wrong one is a failure in the report.

RAPPORT_KEY=... locust -f tests/load/chat.py --host http://127.0.0.1:8000 --streams http://127.0.0.1:8002
"""

import json
import random
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from uuid import uuid4

import gevent
from gevent import Greenlet
from gevent.event import Event
from gevent.pool import Group
from geventhttpclient import HTTPClient
from geventhttpclient.client import HTTPClientPool
from locust import FastHttpUser, constant, events, task

from tests.load.customers import BATCH_CUSTOMERS, BURST_READS, CHANGING_CUSTOMERS, CUSTOMER_PREFIX, SALES, SUPPORT

THINK_MEDIAN_S, THINK_SIGMA = 5.0, 0.6  # between two messages of a customer: log-normal, mean 6 s
TURNS = 6  # of a conversation, mean
STREAM_SHARE = 0.05
"""Share of conversations with an event stream."""
STREAM_S = 5.0
CONNECTIONS = 64
NOTICE = "privacy/1/en"
MESSAGES = "customer_messages_1d"
ROUTE = [MESSAGES, "tickets_open", "returns_90d", "tickets_reopened_30d", "sentiment_mean_15m"]


@events.init_command_line_parser.add_listener
def _(parser: ArgumentParser) -> None:
    parser.add_argument("--key", env_var="RAPPORT_KEY", is_secret=True, help="an API key for every service and scope")
    parser.add_argument("--streams", default="http://127.0.0.1:8002", help="URL of the event streams")
    parser.add_argument(
        "--customers", type=int, default=2_000, help=f"number of registered customers, {CUSTOMER_PREFIX}0 and so on"
    )
    parser.add_argument("--errors-file", default="", help="JSON file for the number of each error")


@events.init.add_listener
def _(environment: Any, **_: Any) -> None:
    @events.quit.add_listener
    def _(**_: Any) -> None:  # Locust's own files may lack the last errors
        if path := environment.parsed_options.errors_file:
            errors = {f"{one.name}: {one.error}": one.occurrences for one in environment.stats.errors.values()}
            Path(path).write_text(json.dumps(errors), encoding="utf-8")


class ChatEngineUser(FastHttpUser):
    """Base class of users that share the connections of one chat engine."""

    abstract = True
    client_pool = HTTPClientPool(concurrency=CONNECTIONS, connection_timeout=5, network_timeout=10)

    def __init__(self, environment: Any) -> None:
        self.options = environment.parsed_options
        self.default_headers = {"Authorization": f"Bearer {self.options.key}", "Content-Type": "application/json"}
        super().__init__(environment)

    def post(self, path: str, body: dict[str, Any], name: str) -> dict[str, Any] | None:
        """The answer to a request; None if it failed."""
        with self.client.post(path, data=json.dumps(body), name=name, catch_response=True) as answer:
            if answer.status_code in (200, 201, 202):
                return json.loads(answer.content)  # type: ignore[no-any-return]
            answer.failure(error_of(answer))
            return None

    def read(self, customer_id: str, name: str, **query: Any) -> dict[str, Any] | None:
        return self.post("/v1/features", query | {"customer_id": customer_id}, name)

    def report_wrong_answer(self, name: str, error: str) -> None:
        """Report a failure of an answer whose status was good."""
        self.environment.events.request.fire(
            request_type="check", name=name, response_time=0, response_length=0, exception=AssertionError(error)
        )

    def random_customer(self) -> str:
        return f"{CUSTOMER_PREFIX}{random.randrange(CHANGING_CUSTOMERS, self.options.customers)}"


class Conversation(ChatEngineUser):
    """A conversation of a bot with a customer: a turn writes events, reads features to route and to answer."""

    weight = 60
    stream: "EventStream | None" = None
    turns = 0

    def wait_time(self) -> float:
        return random.lognormvariate(0, THINK_SIGMA) * THINK_MEDIAN_S

    def on_start(self) -> None:
        gevent.sleep(self.wait_time() * random.random())  # so that conversations do not begin together

    def on_stop(self) -> None:
        self.end()

    @task
    def turn(self) -> None:
        if self.turns <= 0:
            self.end()
            self.begin()
        self.turns -= 1
        self.write_event("customer")
        self.read(self.customer_id, "read to route, 5 features", features=ROUTE, **SUPPORT)
        self.read(self.customer_id, "read to answer, all of a service", **SUPPORT)
        if random.random() < 0.3:
            self.read(self.customer_id, "read to offer, all of a service", **SALES)
        self.write_event("bot")

    def begin(self) -> None:
        self.customer_id, self.conversation_id = self.random_customer(), uuid4().hex
        self.turns = 1 + int(random.expovariate(1 / (TURNS - 1)))
        if random.random() < STREAM_SHARE:
            self.stream = EventStream(self, self.customer_id)

    def end(self) -> None:
        if self.stream:
            self.stream.end()
            self.stream = None

    def write_event(self, author: str) -> None:
        event = {
            "source": "chat", "customer_id": self.customer_id, "id": uuid4().hex,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "data": {"author": author, "conversation_id": self.conversation_id, "intent": "delivery",
                     "sentiment": round(random.uniform(-1, 1), 2)},
        }  # fmt: skip
        stream = self.stream if author == "customer" else None
        expectation, written = stream.expect() if stream else None, None
        try:
            written = self.post("/v1/events", {"events": [event]}, "write an event")
        finally:
            if expectation and not written:  # it failed, or the load is over
                expectation.kill()


class EventStream:
    """An event stream of a customer."""

    def __init__(self, user: Conversation, customer_id: str) -> None:
        self.user, self.customer_id = user, customer_id
        self._client = HTTPClient.from_url(user.options.streams, network_timeout=60)
        self._changed, self._ended, self._opened = Event(), False, Event()
        self._reader = gevent.spawn(self._read)
        self._expectations = Group()

    def expect(self) -> Greenlet | None:
        """Expect the change of an event that is sent now; None while the stream is not open."""
        if not self._opened.is_set():
            return None
        self._changed.clear()
        return self._expectations.spawn(self._expect, time.perf_counter())

    def end(self) -> None:
        self._ended = True
        self._expectations.join()
        self._reader.kill()
        self._client.close()

    def _expect(self, began_s: float) -> None:
        in_time = self._changed.wait(STREAM_S)
        self._report(
            "event stream: from an event to its change",
            began_s,
            None if in_time else "no change was received",
        )

    def _read(self) -> None:
        began_s, name = time.perf_counter(), "event stream: open to first answer"
        body = json.dumps(SUPPORT | {"customer_id": self.customer_id, "features": [MESSAGES]})
        try:
            answer = self._client.request("POST", "/v1/features/stream", body, self.user.default_headers)
            if answer.status_code != 200:
                self._report(name, began_s, f"{answer.status_code} {answer.read()[:200]!r}")
                return
            while line := answer.readline(b"\n"):
                if line != b"event: features\n":
                    assert not line.startswith(b"event: "), line
                elif self._opened.is_set():
                    self._changed.set()
                else:
                    self._opened.set()
                    self._report(name, began_s)
            ended = "the server ended it"
        except (OSError, HTTPException, AssertionError) as error:
            ended = repr(error)
        if not self._ended:
            self._report("event stream: until the conversation ends", began_s, ended)

    def _report(self, name: str, began_s: float, error: str | None = None) -> None:
        self.user.environment.events.request.fire(
            request_type="SSE", name=name, response_time=(time.perf_counter() - began_s) * 1000, response_length=0,
            exception=AssertionError(error) if error else None,
        )  # fmt: skip


def error_of(answer: Any) -> str:
    """Status, title and detail of a failed answer, which are the same for all of a kind."""
    try:
        problem = json.loads(answer.content)
        return f"{answer.status_code} {problem['title']}: {problem['detail']}"
    except (TypeError, ValueError, KeyError):
        return f"{answer.status_code} {getattr(answer, 'error', None)!r}"


class BatchReader(ChatEngineUser):
    """A user who reads a hundred customers at once."""

    weight = 1
    wait_time = constant(10)

    @task
    def read_batch(self) -> None:
        names = [self.random_customer() for _ in range(BATCH_CUSTOMERS)]
        answer = self.post("/v1/features/batch", SUPPORT | {"customer_ids": names}, "read 100 customers")
        if answer and len(answer["results"]) != len(names):
            self.report_wrong_answer("a batch is complete", "customers are missing")


class BurstReader(ChatEngineUser):
    """A burst of reads beside the steady conversations, as after a campaign's message."""

    fixed_count = 1
    wait_time = constant(5)

    @task
    def read_burst(self) -> None:
        burst = Group()
        for _ in range(BURST_READS):
            burst.spawn(self.read, self.random_customer(), f"read in a burst of {BURST_READS}", **SALES)
        burst.join()


class ConsentChanger(ChatEngineUser):
    """Withdraws consents and gives them again: after an acknowledged withdrawal no read may serve a value."""

    fixed_count = 1
    wait_time = constant(1)
    number = 0

    @task
    def change(self) -> None:
        self.number = (self.number + 1) % min(CHANGING_CUSTOMERS, self.options.customers)
        customer_id = f"{CUSTOMER_PREFIX}{self.number}"
        decision = {"customer_id": customer_id, "purpose": "service", "method": "chat"}
        withdrawn = self.post("/v1/consents", decision | {"decision": "withdrawn"}, "withdraw")
        if not withdrawn or not withdrawn["effective"]:  # pending: reads may be served for a while
            return
        if answer := self.read(customer_id, "read after a withdrawal", **SUPPORT):
            served = {name for name, view in answer["views"].items() if view["status"] != "withheld"}
            served |= {name for name, value in answer["features"].items() if value is not None}
            if served:
                self.report_wrong_answer("nothing is served after a withdrawal", f"LEAK: {sorted(served)}")
        self.post("/v1/consents", decision | {"decision": "given", "notice": NOTICE}, "give consent")
