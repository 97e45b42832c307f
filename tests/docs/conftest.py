"""The installation that the pages' requests are sent to: the API over a store in memory, at noon of a certain day."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.http import HttpResponse
from django.test import Client

from featurestore.catalog.purposes import PURPOSES
from featurestore.consent.services import define_purpose, give, publish_notice
from featurestore.profiles.services import register
from tests.api.conftest import key, keys_of_this_test, post, world
from tests.api.world import World

__all__ = ["key", "keys_of_this_test", "post", "world"]

HOST = "localhost:8000"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
LINE = {"order_id": "O1", "sku": "LAMP", "category": "light"}

Curl = Callable[[str], HttpResponse]


@pytest.fixture
def shop(world: World) -> None:
    """C1 and C2, as in the demo, and C42 and C43, as in the OpenAPI document."""
    for purpose in PURPOSES:
        define_purpose(purpose.name, title=purpose.title, lawful_basis=purpose.basis)
    publish_notice("privacy", 1, "en", "What we do.", [purpose.name for purpose in PURPOSES])
    for customer_id in ("C1", "C2"):
        register(customer_id, "Europe", "demo", since=LONG_AGO)
        give(customer_id, "service", notice="privacy/1/en", method="web", actor="test", since=LONG_AGO)
        world.happened(
            customer_id,
            "orders",
            ("2026-11-20T09:00:00", LINE | {"kind": "completed", "quantity": 2, "amount": "49.00"}),
            ("2026-11-21T09:00:00", LINE | {"kind": "returned", "quantity": -1, "amount": "-12.50"}),
        )
        ticket = {"kind": "opened", "ticket_id": "T1", "topic": "delivery", "open_tickets": 1}
        world.happened(customer_id, "support", ("2026-11-21T10:00:00", ticket))


@pytest.fixture
def curl(client: Client, key: str) -> Curl:
    """Sends what a curl of a page would send."""

    def send(command: str) -> HttpResponse:
        words = shlex.split(command.replace("\\\n", " ").replace("$KEY", key))
        assert words[:2] == ["curl", "-s"], "write it as: curl -s ADDRESS -H HEADER -d BODY"
        address, options = words[2], words[3:]
        assert address.startswith(HOST), f"ask {HOST}, as the demo has it"
        given = dict(zip(options[::2], options[1::2], strict=True))
        header, _, value = given.pop("-H", "").partition(": ")
        body = given.pop("-d", None)
        assert not given, f"unknown options: {given}"
        path, headers = address.removeprefix(HOST), {header: value} if header else {}
        if body is None:
            return client.get(path, headers=headers)
        return client.post(path, body, content_type="application/json", headers=headers)

    return send
