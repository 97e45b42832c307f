"""A conversation through all real processes: an event in Kafka reaches the bot unasked, a withdrawal ends it."""

from collections.abc import Iterator

import pytest

from devservers.installation import installation
from devservers.waiting import eventually
from tests.kit.event_stream import Listener
from tests.system.test_withdrawal import PARTITIONS, Shop

SPENT = "spend_amount_sum_1h"


@pytest.fixture(scope="module")
def shop(kafka: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("event-stream")
    with installation(folder, kafka=kafka, store=redis_server, partitions=PARTITIONS) as made:
        made.prepare()
        made.start_store_verifier()
        made.start_worker()
        shop = Shop(made)
        eventually(lambda: shop.api.get("/readyz").status_code == 200, "the API is ready")
        made.start_sse()
        yield shop


@pytest.mark.timeout(300)
def test_a_bot_learns_what_happens_and_stops_at_a_withdrawal(shop: Shop) -> None:
    shop.agree("ann", "bob")
    shop.buys("ann")
    eventually(lambda: shop.spend("ann") == ("present", 10), "what was bought is served")
    key = shop.api.headers["Authorization"].removeprefix("Bearer ")
    url, question = f"http://127.0.0.1:{shop.made.sse_port}", {"service": "support_chat", "purpose": "service"}
    ann, bob = (Listener(url, key, question | {"customer_id": customer}) for customer in ("ann", "bob"))
    assert ann.newest().data.keys() == shop.ask("ann").json().keys()
    ann.until_value(SPENT, 10)
    shop.buys("ann")
    ann.until_value(SPENT, 20, within_s=5)
    assert shop.decide("ann", "withdrawn").status_code == 201
    assert ann.until_event("closed", within_s=5).data["reason"] == "withheld"
    shop.buys("ann")
    shop.buys("bob")
    bob.until_value(SPENT, 10, within_s=5)
    assert {event.data["features"][SPENT] for event in bob.received} == {0, 10}
    assert ann.received[-1].event == "closed"
    bob.disconnect()
