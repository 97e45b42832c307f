"""BulkEventSender, its events read back from a real broker."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from adminsite.demo.servers import embedded_broker
from featurestore.catalog.orders import OrderLine, orders
from featurestore.config import Settings, settings
from featurestore.identity import IdentifierError, partition_of, subject_of
from featurestore.ingest.bulk_sender import BulkEventSender, NotDelivered
from featurestore.tiles.deduplication import DEDUPLICATION_EVENTS

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("broker")
    (folder / "logs").mkdir()
    with embedded_broker(folder) as address:
        yield settings().model_copy(update={"kafka_bootstrap": address, "partitions": 4, "generation": 7})


def line(number: int) -> OrderLine:
    return OrderLine(kind="completed", order_id=str(number), sku="s", quantity=1, amount=Decimal("2.50"))


def send(sender: BulkEventSender, customer_id: str, number: int) -> None:
    sender.send(orders, customer_id, id=str(number), origin="tests", time=TIME, data=line(number), reference=number)


def send_many(sender: BulkEventSender, numbers: range) -> None:
    for number in numbers:
        send(sender, "Ann", number)


def received(conf: Settings, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": conf.kafka_bootstrap, "group.id": "t", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition("events.orders.g7", partition, 0) for partition in range(conf.partitions)])
    messages: list[Message] = []
    while len(messages) < count:
        found = consumer.consume(count, timeout=5)
        assert found, f"{len(messages)} of {count} came"
        messages += found
    consumer.close()
    return messages


def test_events_are_keyed_by_subject_on_its_partition_in_order(conf: Settings) -> None:
    sender, customers = BulkEventSender(conf), ["Ann", "Bob", "Cem"]
    for number in range(1_000):
        send(sender, customers[number % 3], number)
    sender.flush()
    assert sender.sent == 1_000
    subjects = {subject_of(customer, conf.subject_secret.encode()): customer for customer in customers}
    numbers: dict[str, list[int]] = {}
    for message in received(conf, 1_000):
        key, value = message.key(), message.value()
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        event = orders.decode(value)
        assert key.decode() == event.subject
        assert message.partition() == partition_of(event.subject, conf.partitions)
        assert not any(customer.encode() in value for customer in customers)
        numbers.setdefault(subjects[event.subject], []).append(int(event.values[1]))
    assert numbers == {customer: list(range(i, 1_000, 3)) for i, customer in enumerate(customers)}


def test_empty_identifier_is_refused(conf: Settings) -> None:
    with pytest.raises(IdentifierError):
        send(BulkEventSender(conf), "", 1)


def test_not_delivered_names_the_oldest_unacknowledged_event(conf: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurestore.ingest.bulk_sender.DELIVERY_TIMEOUT_MS", 1_000)
    sender = BulkEventSender(conf.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"}))
    with pytest.raises(NotDelivered, match="Kafka did not acknowledge an event: ") as failed:
        send_many(sender, range(5, 2_000))
    assert failed.value.first == 5
    assert sender.sent == DEDUPLICATION_EVENTS, "no more in flight than the deduplication window holds"
