"""Chat traffic, for Locust: conversations, some of them followed by event streams; desks; crowds; changes of mind.

Conversations share a chat engine's pool of connections, as they do in one: what waits for a connection waits for us.
Everything is checked that an answer must hold: anything else is a failure of the report.

RAPPORT_KEY=... locust -f tests/load/chat.py --host http://127.0.0.1:8000 --streams http://127.0.0.1:8002 --people 2000
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

from tests.load.customers import BURST_READS, BATCH_CUSTOMERS, CHANGING_CUSTOMERS, CUSTOMER_PREFIX, SALES, SUPPORT

THINK_MEDIAN_S, THINK_SIGMA = 5.0, 0.6  # between two words of a customer: log-normal, 6 s in the mean
TURNS = 6  # of a conversation, in the mean
FOLLOWED = 0.05
"""The share of conversations in which the bot is told of changes."""
STREAM_S = 5.0
CONNECTIONS = 64
NOTICE = "privacy/1/en"
MESSAGES = "customer_messages_1d"
ROUTE = [MESSAGES, "tickets_open", "returns_90d", "tickets_reopened_30d", "sentiment_mean_15m"]


@events.init_command_line_parser.add_listener
def _(parser: ArgumentParser) -> None:
    parser.add_argument("--key", env_var="RAPPORT_KEY", is_secret=True, help="an API key for every service and scope")
    parser.add_argument("--streams", default="http://127.0.0.1:8002", help="where event streams are served")
    parser.add_argument("--people", type=int, default=2_000, help=f"customers {CUSTOMER_PREFIX}0 and so on are registered")
    parser.add_argument("--errors-file", default="", help="where to write, as JSON, how often what went wrong")


@events.init.add_listener
def _(environment: Any, **_: Any) -> None:
    @events.quit.add_listener
    def _(**_: Any) -> None:  # Locust's own files may lack what went wrong last
        if path := environment.parsed_options.errors_file:
            wrong = {f"{one.name}: {one.error}": one.occurrences for one in environment.stats.errors.values()}
            Path(path).write_text(json.dumps(wrong), encoding="utf-8")


class Engine(FastHttpUser):
    """Whoever asks, through the connections of one chat engine."""

    abstract = True
    client_pool = HTTPClientPool(concurrency=CONNECTIONS, connection_timeout=5, network_timeout=10)

    def __init__(self, environment: Any) -> None:
        self.options = environment.parsed_options
        self.default_headers = {"Authorization": f"Bearer {self.options.key}", "Content-Type": "application/json"}
        super().__init__(environment)

    def ask(self, path: str, body: dict[str, Any], name: str) -> dict[str, Any] | None:
        """The answer to a call; None after one that failed."""
        with self.client.post(path, data=json.dumps(body), name=name, catch_response=True) as answer:
            if answer.status_code in (200, 201, 202):
                return json.loads(answer.content)  # type: ignore[no-any-return]
            answer.failure(why(answer))
            return None

    def read(self, customer_id: str, name: str, **question: Any) -> dict[str, Any] | None:
        return self.ask("/v1/features", question | {"customer_id": customer_id}, name)

    def wrong(self, name: str, what: str) -> None:
        """An answer came, and should not have said what it did."""
        self.environment.events.request.fire(
            request_type="check", name=name, response_time=0, response_length=0, exception=AssertionError(what)
        )

    def somebody(self) -> str:
        return f"{CUSTOMER_PREFIX}{random.randrange(CHANGING_CUSTOMERS, self.options.people)}"


class Conversation(Engine):
    """A bot and a customer: a word, an event, a look at what is needed to route it, and one at what to answer with."""

    weight = 60
    following: "Following | None" = None
    turns = 0

    def wait_time(self) -> float:
        return random.lognormvariate(0, THINK_SIGMA) * THINK_MEDIAN_S

    def on_start(self) -> None:
        gevent.sleep(self.wait_time() * random.random())  # conversations do not begin together

    def on_stop(self) -> None:
        self.leave()

    @task
    def turn(self) -> None:
        if self.turns <= 0:
            self.leave()
            self.begin()
        self.turns -= 1
        self.log("customer")
        self.read(self.customer_id, "read to route, 5 features", features=ROUTE, **SUPPORT)
        self.read(self.customer_id, "read to answer, all of a service", **SUPPORT)
        if random.random() < 0.3:
            self.read(self.customer_id, "read to offer, all of a service", **SALES)
        self.log("bot")

    def begin(self) -> None:
        self.customer_id, self.conversation_id = self.somebody(), uuid4().hex
        self.turns = 1 + int(random.expovariate(1 / (TURNS - 1)))
        if random.random() < FOLLOWED:
            self.following = Following(self, self.customer_id)

    def leave(self) -> None:
        if self.following:
            self.following.leave()
            self.following = None

    def log(self, author: str) -> None:
        event = {
            "source": "chat", "customer_id": self.customer_id, "id": uuid4().hex,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "data": {"author": author, "conversation_id": self.conversation_id, "intent": "delivery",
                     "sentiment": round(random.uniform(-1, 1), 2)},
        }  # fmt: skip
        follow = self.following if author == "customer" else None
        told, written = follow.expect() if follow else None, None
        try:
            written = self.ask("/v1/events", {"events": [event]}, "write an event")
        finally:
            if told and not written:  # failed, or the load is over
                told.kill()


class Following:
    """An event stream of a customer."""

    def __init__(self, user: Conversation, customer_id: str) -> None:
        self.user, self.customer_id = user, customer_id
        self._client = HTTPClient.from_url(user.options.streams, network_timeout=60)
        self._told, self._left, self._opened = Event(), False, Event()
        self._listening = gevent.spawn(self._listen)
        self._expecting = Group()

    def expect(self) -> Greenlet | None:
        """An event is sent now, and its change is expected; nothing while the stream is not open yet."""
        if not self._opened.is_set():
            return None
        self._told.clear()
        return self._expecting.spawn(self._expect, time.perf_counter())

    def leave(self) -> None:
        self._left = True
        self._expecting.join()
        self._listening.kill()
        self._client.close()

    def _expect(self, since_s: float) -> None:
        in_time = self._told.wait(STREAM_S)
        self._report(
            "event stream: from an event to its change",
            since_s,
            None if in_time else "no change was told",
        )

    def _listen(self) -> None:
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
                    self._told.set()
                else:
                    self._opened.set()
                    self._report(name, began_s)
            ended = "the server ended it"
        except (OSError, HTTPException, AssertionError) as error:
            ended = repr(error)
        if not self._left:
            self._report("event stream: until the conversation ends", began_s, ended)

    def _report(self, name: str, since_s: float, wrong: str | None = None) -> None:
        self.user.environment.events.request.fire(
            request_type="SSE", name=name, response_time=(time.perf_counter() - since_s) * 1000, response_length=0,
            exception=AssertionError(wrong) if wrong else None,
        )  # fmt: skip


def why(answer: Any) -> str:
    """What a failed answer says, without what differs from one to the next."""
    try:
        problem = json.loads(answer.content)
        return f"{answer.status_code} {problem['title']}: {problem['detail']}"
    except (TypeError, ValueError, KeyError):
        return f"{answer.status_code} {getattr(answer, 'error', None)!r}"


class Desk(Engine):
    """A desk of people who see a hundred customers at once."""

    weight = 1
    wait_time = constant(10)

    @task
    def look(self) -> None:
        names = [self.somebody() for _ in range(BATCH_CUSTOMERS)]
        answer = self.ask("/v1/features/batch", SUPPORT | {"customer_ids": names}, "read 100 customers")
        if answer and len(answer["results"]) != len(names):
            self.wrong("a batch is whole", "customers are missing")


class Crowd(Engine):
    """Everybody at once, as after a campaign's message: a burst beside the steady conversations."""

    fixed_count = 1
    wait_time = constant(5)

    @task
    def come(self) -> None:
        crowd = Group()
        for _ in range(BURST_READS):
            crowd.spawn(self.read, self.somebody(), f"read in a burst of {BURST_READS}", **SALES)
        crowd.join()


class ChangesMind(Engine):
    """Customers who withdraw and agree again: after an acknowledged withdrawal no read may show a value."""

    fixed_count = 1
    wait_time = constant(1)
    number = 0

    @task
    def change(self) -> None:
        self.number = (self.number + 1) % min(CHANGING_CUSTOMERS, self.options.people)
        customer_id = f"{CUSTOMER_PREFIX}{self.number}"
        decision = {"customer_id": customer_id, "purpose": "service", "method": "chat"}
        withdrawn = self.ask("/v1/consents", decision | {"decision": "withdrawn"}, "withdraw")
        if not withdrawn or not withdrawn["effective"]:  # pending: reads may still be as before, for a while
            return
        if answer := self.read(customer_id, "read after a withdrawal", **SUPPORT):
            shown = {name for name, view in answer["views"].items() if view["status"] != "withheld"}
            if shown:
                self.wrong("nothing is shown after a withdrawal", f"LEAK: {sorted(shown)}")
        self.ask("/v1/consents", decision | {"decision": "given", "notice": NOTICE}, "agree")
