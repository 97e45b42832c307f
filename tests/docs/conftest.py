"""Installation that answers the pages' requests: the API over a store in memory, at noon of a fixed day."""

import base64
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from featurestore.access.models import ApiClient
from featurestore.access.services import allow, create_secret
from featurestore.catalog.purposes import PURPOSES
from featurestore.clock import moment
from featurestore.consent import change_sequence
from featurestore.consent.services import define_purpose, give, publish_notice
from featurestore.profiles.services import register
from featurestore.requests.services import intake
from tests.kit.api import environment, key, no_cached_credentials, post
from tests.kit.requests import seed_regimes
from tests.kit.serving_environment import NOW_MS, ServingEnvironment

__all__ = ["environment", "key", "no_cached_credentials", "post"]

HOST = "localhost:8000"
FORM = "application/x-www-form-urlencoded"
SINCE_LONG_AGO: dict[str, Any] = {"since": datetime(2026, 1, 1, tzinfo=UTC), "history_follows": True}
ORDER_LINE = {"order_id": "O1", "sku": "LAMP", "category": "light"}

Curl = Callable[[str], HttpResponse]


@pytest.fixture
def customers(environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Customers of the pages: C1 and C2, as in the demo, C42 and C43, as in the OpenAPI document. It is noon."""
    for module in (change_sequence, intake):
        monkeypatch.setattr(module, "database_now", lambda: moment(NOW_MS))
    seed_regimes()
    for purpose in PURPOSES:
        define_purpose(purpose.name, title=purpose.title, lawful_basis=purpose.basis)
    publish_notice("privacy", 1, "en", "What we do.", [purpose.name for purpose in PURPOSES])
    for customer_id in ("C1", "C2"):
        register(customer_id, "Europe", "demo", **SINCE_LONG_AGO)
        give(customer_id, "service", notice="privacy/1/en", method="web", actor="test", **SINCE_LONG_AGO)
        environment.fold_events(
            customer_id,
            "orders",
            ("2026-11-20T09:00:00", ORDER_LINE | {"kind": "completed", "quantity": 2, "amount": "49.00"}),
            ("2026-11-21T09:00:00", ORDER_LINE | {"kind": "returned", "quantity": -1, "amount": "-12.50"}),
        )
        ticket = {"kind": "opened", "ticket_id": "T1", "topic": "delivery", "open_tickets": 1}
        environment.fold_events(customer_id, "support", ("2026-11-21T10:00:00", ticket))


@pytest.fixture
def secret(key: str) -> str:
    """A secret of the key's client, whose tokens have the key's rights."""
    client = ApiClient.objects.get(name="support-bot")
    bound = client.keys.get()
    allow(client, services=bound.services, purposes=bound.purposes, scopes=bound.scopes, actor="test")
    return create_secret(client, actor="test")[1]


@pytest.fixture
def curl(client: Client, key: str, secret: str) -> Curl:
    """Sender of the request of a page's curl command. After a token is issued, it replaces $TOKEN."""
    variables = {"$KEY": key, "$SECRET": secret}

    def send(command: str) -> HttpResponse:
        for name, value in variables.items():
            command = command.replace(name, value)
        words = shlex.split(command.replace("\\\n", " "))
        assert words[:2] == ["curl", "-s"], "write it as: curl -s ADDRESS -H HEADER -d BODY"
        address, options = words[2], words[3:]
        assert address.startswith(HOST), f"send it to {HOST}, the demo's address"
        given = list(zip(options[::2], options[1::2], strict=True))
        shown = [f"Authorization: {basic(value)}" if name == "-u" else value for name, value in given if name != "-d"]
        headers = dict(header.split(": ", 1) for header in shown)
        bodies = [value for name, value in given if name == "-d"]
        assert {name for name, _ in given} <= {"-H", "-d", "-u"}, f"unknown options: {given}"
        path = address.removeprefix(HOST)
        if not bodies:
            return client.get(path, headers=headers)
        kind = FORM if path.startswith("/oauth/") else "application/json"
        response = client.post(path, "&".join(bodies), content_type=kind, headers=headers)
        if "access_token" in response.json():
            variables["$TOKEN"] = response.json()["access_token"]
        return response

    return send


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
