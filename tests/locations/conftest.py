"""A store in memory, a control Redis, an embedded Kafka and a database, in which facts are written."""

import itertools
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from redis import Redis

from featurestore.clock import moment
from featurestore.config import settings
from featurestore.consent.locations import store as locations_store
from featurestore.consent.outbox import purge_producer
from featurestore.locations import Registry
from featurestore.row_locations import data_locations
from tests.kit.clock import clock
from tests.kit.databases import database
from tests.kit.serving_environment import NOW_MS, ServingEnvironment
from tests.kit.shop import Shop, sent, shop
from tests.kit.stores import store
from tests.locations.written_facts import PARTITIONS, Servers, Streams

__all__ = ["clock", "database", "sent", "shop", "store"]
generations = itertools.count(1)


@pytest.fixture(scope="session")
def embedded_kafka() -> Iterator[Producer]:
    """A producer that is a Kafka of its own, in this process."""
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    producer.list_topics(timeout=30)
    yield producer
    producer.flush(30)


@pytest.fixture
def servers(
    shop: Shop, redis_server: str, embedded_kafka: Producer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Servers]:
    (broker,) = embedded_kafka.list_topics(timeout=30).brokers.values()
    generation = next(generations)
    variables = {
        "KAFKA_BOOTSTRAP": f"{broker.host}:{broker.port}",
        "KAFKA_EMBEDDED": "true",
        "JOURNAL_TOPIC": f"consent.journal.{generation}",
        "PASSED_BY_TOPIC": f"rapport.passed-by.{generation}",
        "GENERATION": str(generation),
        "PARTITIONS": str(PARTITIONS),
        "CONTROL_URL": redis_server.replace("/0", "/1"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"RAPPORT_{name}", value)
    settings.cache_clear()
    with Redis.from_url(settings().control_url) as control:
        control.flushdb()
        made = Servers(shop, ServingEnvironment(shop.store), control, embedded_kafka)
        monkeypatch.setattr(purge_producer, "purge_producer", lambda: Streams(made))
        monkeypatch.setattr(locations_store, "database_now", lambda: moment(NOW_MS))  # values depend on it
        yield made
    settings.cache_clear()


@pytest.fixture(scope="session")
def locations() -> Registry:
    return data_locations()
