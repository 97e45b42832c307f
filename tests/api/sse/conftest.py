"""Event streams served by their process, over a real Redis that the tests write to like the workers."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from devservers.installation import Installation, installation
from devservers.redis_server import RedisServer
from featurestore.config import settings
from featurestore.store.configured import store_at
from tests.kit.event_stream import Listener
from tests.kit.serving_environment import ServingEnvironment

QUERY = {"service": "support_chat", "purpose": "service"}
NUMBERS = count()


class StreamEnvironment:
    """An event-stream process, its store, customers who buy and decide, and clients. ``made`` is the installation."""

    def __init__(self, made: Installation, server: RedisServer, key: str):
        self.made, self.server, self.key = made, server, key
        self.environment = ServingEnvironment(store_at(server.url, 1_000), time.time_ns() // 1_000_000)
        self.bought: dict[str, int] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.made.sse_port}"

    def customer(self) -> str:
        """A new customer, who allowed service and bought once."""
        customer_id = f"C{next(NUMBERS)}"
        self.environment.permit(customer_id, service=True)
        self.buy(customer_id)
        return customer_id

    def buy(self, customer_id: str) -> int:
        """Fold and write one more purchase; the number of purchases."""
        number = self.bought[customer_id] = self.bought.get(customer_id, 0) + 1
        line = {"kind": "completed", "sku": "LAMP", "category": "light", "quantity": 1, "amount": "10.00"}
        at = datetime.fromtimestamp(self.environment.now_ms / 1000, UTC) - timedelta(minutes=5)
        when = at.replace(tzinfo=None).isoformat(timespec="milliseconds")
        self.environment.fold_events(
            customer_id, "orders", *((when, line | {"order_id": f"O{i}"}) for i in range(number))
        )
        return number

    def listen(self, customer_id: str, key: str | None = None, **changes: Any) -> Listener:
        query = QUERY | {"customer_id": customer_id} | changes
        return Listener(self.url, self.key if key is None else key, query)


Serve = Callable[..., StreamEnvironment]


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start an event-stream process with its own store and settings."""
    with contextlib.ExitStack() as closing:

        def start(**changed: object) -> StreamEnvironment:
            folder = tmp_path_factory.mktemp("sse")
            server = RedisServer(folder / "redis")
            server.start()
            closing.callback(server.stop)
            same = {name: getattr(settings(), name) for name in ("subject_secret", "partitions")}
            made = closing.enter_context(installation(folder, kafka="127.0.0.1:1", store=server.url, **same, **changed))
            made.prepare_database()
            environment = StreamEnvironment(made, server, made.make_key())
            made.start_sse()
            return environment

        yield start


@pytest.fixture(scope="session")
def shop(serve: Serve) -> StreamEnvironment:
    """A process that tests share and leave as it was; a quiet stream reads again each second."""
    return serve(sse_heartbeat_s=1)


@pytest.fixture(scope="session")
def quiet_shop(serve: Serve) -> StreamEnvironment:
    """A process whose quiet streams read once a minute: earlier events come from change notifications."""
    return serve(sse_heartbeat_s=60)
