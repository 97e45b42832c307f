"""Event stream through all real processes: an event in Kafka reaches the client, a withdrawal ends the stream."""

from collections.abc import Iterator

import pytest
from redis import Redis

from devservers.waiting import eventually
from tests.kit.event_stream import Listener
from tests.system.shop import Shop, open_shop

SPENT = "spend_amount_sum_1h"


@pytest.fixture(scope="module")
def shop(kafka: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Redis.from_url(redis_server) as redis:
        redis.flushall()  # an earlier test's permissions are ahead of this shop's database
    with open_shop(tmp_path_factory.mktemp("event-stream"), kafka=kafka, store=redis_server) as shop:
        shop.made.start_sse()
        yield shop


@pytest.mark.timeout(300)
def test_stream_receives_changes_until_a_withdrawal(shop: Shop) -> None:
    shop.give_consent("ann", "bob")
    shop.buy("ann")
    eventually(lambda: shop.spend("ann") == ("present", 10), "the order is served")
    key = shop.api.headers["Authorization"].removeprefix("Bearer ")
    url, question = f"http://127.0.0.1:{shop.made.sse_port}", {"service": "support_chat", "purpose": "service"}
    ann, bob = (Listener(url, key, question | {"customer_id": customer}) for customer in ("ann", "bob"))
    assert ann.newest().data.keys() == shop.read("ann").json().keys()
    ann.until_value(SPENT, 10)
    shop.buy("ann")
    ann.until_value(SPENT, 20, within_s=5)
    assert shop.decide("ann", "withdrawn").status_code == 201
    assert ann.until_event("closed", within_s=5).data["reason"] == "withheld"
    shop.buy("ann")
    shop.buy("bob")
    bob.until_value(SPENT, 10, within_s=5)
    assert {event.data["features"][SPENT] for event in bob.received} <= {None, 0, 10}, "null while bob's view is stale"
    assert ann.received[-1].event == "closed"
    bob.disconnect()
