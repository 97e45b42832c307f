"""Sizes are those of the store's fields and the tables' records."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from redis import Redis

from bench import populations
from bench.populations import TimedEvent
from bench.sizes import PERMISSION, parts_of, rows_of, store_population
from devservers.redis_server import RedisServer
from featurestore.catalog import registry
from featurestore.catalog.orders import OrderLine, orders
from featurestore.store.redis import subject_key

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


def bought(customer: str, days_ago: int) -> TimedEvent:
    line = OrderLine(kind="completed", order_id="O1", sku="S1", quantity=1, amount=Decimal(5))
    return TimedEvent(customer, orders, NOON - timedelta(days=days_ago), line)


EVENTS = [bought("C1", 20), bought("C2", 10), bought("C1", 0)]


def test_view_without_sketch_is_stored_for_each_of_its_purposes(server: RedisServer) -> None:
    found = store_population(server, EVENTS, sketches=False)
    names = {name for name, _ in found.fields()}
    assert "spend/service" in names
    assert not any(name.startswith("taste/") for name in names)
    views = {name.partition("/")[0] for name in names}
    assert names == {f"{view}/{purpose}" for view in views for purpose in registry.views[view].purposes}
    assert found.features == 2 * sum(len(registry.views[name.partition("/")[0]].features) for name in names)


def test_view_with_sketch_is_stored_on_request(server: RedisServer) -> None:
    assert "taste/personalisation" in {name for name, _ in store_population(server, EVENTS, sketches=True).fields()}


def test_redis_bytes_are_those_of_values_alone(server: RedisServer) -> None:
    found = store_population(server, EVENTS, sketches=False)
    with Redis(port=server.port) as redis:
        whole = sum(redis.memory_usage(subject_key(subject), samples=0) for subject in found.hashes)
    lengths = sum(len(value) for _, value in found.fields())
    assert lengths < found.redis_bytes < whole


def test_parts_of_a_record_are_its_views_and_deduplication_window(server: RedisServer) -> None:
    found = store_population(server, EVENTS, sketches=False)
    for record in found.records():
        assert parts_of(record).keys() == {"identities", *record.views}
    assert sorted(rows["spend/service"] for rows in map(rows_of, found.records())) == [1, 2]
    assert all(PERMISSION in hash_ for hash_ in found.hashes.values())


def test_refused_event_ends_the_measurement(server: RedisServer) -> None:
    ahead = TimedEvent("C1", orders, datetime(2106, 3, 1, tzinfo=UTC), EVENTS[0].data)
    with pytest.raises(ValueError, match="is refused"):
        store_population(server, [*EVENTS, ahead], sketches=False)


def test_missing_retail_data_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(populations, "RETAIL", tmp_path / "online_retail.csv.gz")
    with pytest.raises(populations.NoRetailData, match=r"online_retail\.csv\.gz is not there: RAPPORT_TEST_DATA"):
        populations.retail()
