"""Fixtures of the API over a store in memory, at noon of a fixed day: environment, key, posting client."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from featurestore.access import services
from featurestore.access.rate_limiter import rate_limiter
from featurestore.access.scopes import Scope
from featurestore.access.selectors import invalidate_credentials
from featurestore.access.services import create_client, create_key
from featurestore.api import events, request_cycle
from featurestore.api.handler import feature_handler
from featurestore.store import configured
from tests.kit.serving_environment import NOW_MS, ServingEnvironment

SERVICES = ["support_chat", "fraud_check"]
PURPOSES = ["service", "personalisation", "fraud"]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServingEnvironment]:
    """C42 allowed service and bought; C43 refused; all others are unknown."""
    made = ServingEnvironment()
    monkeypatch.setattr(configured, "store", lambda: made.store)
    monkeypatch.setattr(events, "acknowledged_event_writer", lambda: made.kafka)
    monkeypatch.setattr(events, "recent_events", lambda: made.recent_events)
    monkeypatch.setattr(request_cycle, "now_ms", lambda: NOW_MS)
    feature_handler.cache_clear()
    made.permit("C42", service=True)
    made.permit("C43", service=False)
    line = {"order_id": "O1", "sku": "LAMP", "category": "light"}
    made.fold_events(
        "C42",
        "orders",
        ("2026-11-20T09:00:00", line | {"kind": "completed", "quantity": 2, "amount": "49.00"}),
        ("2026-11-21T09:00:00", line | {"kind": "returned", "quantity": -1, "amount": "-12.50"}),
    )
    yield made
    feature_handler.cache_clear()


@pytest.fixture(autouse=True)
def no_cached_credentials(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # A test's transaction is its own connection's: a second one would wait for it.
    monkeypatch.setattr(services._use_writer, "submit", lambda *_: None)
    invalidate_credentials()
    rate_limiter.cache_clear()  # at a fixed time a window never ends
    yield
    invalidate_credentials()


@pytest.fixture
def key() -> str:
    """A key for support_chat and fraud_check, three purposes and every scope."""
    client = create_client("support-bot", owner="chat team", actor="test")
    scopes = list(Scope)
    return create_key(client, services=SERVICES, purposes=PURPOSES, scopes=scopes, actor="test")[1]


Post = Callable[..., HttpResponse]


@pytest.fixture
def post(client: Client, key: str) -> Post:
    """Send a body (JSON unless bytes) with the key, or with another Authorization header."""

    def send(path: str, body: Any, authorization: str | None = None, **headers: str) -> HttpResponse:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}" if authorization is None else authorization, **headers}
        return client.post(path, raw, content_type="application/json", headers=headers)

    return send
