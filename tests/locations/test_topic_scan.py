"""Reading of topics by pages: each record once, by one reader of all pages."""

import itertools
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from featurestore import topic_locations
from featurestore.config import settings
from featurestore.locations import LocationUnavailable
from featurestore.servers.kafka import KafkaCluster
from featurestore.topic_locations import kept_scan, open_scan
from featurestore.topic_scan import Position, TopicScan

topics = itertools.count(1)


@pytest.fixture(autouse=True)
def kafka(embedded_kafka: Producer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (broker,) = embedded_kafka.list_topics(timeout=30).brokers.values()
    monkeypatch.setenv("RAPPORT_KAFKA_BOOTSTRAP", f"{broker.host}:{broker.port}")
    monkeypatch.setenv("RAPPORT_KAFKA_EMBEDDED", "true")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def topic() -> str:
    return f"scanned.{next(topics)}"


@pytest.fixture
def scan() -> Iterator[TopicScan]:
    with kept_scan(), open_scan() as scan:
        yield scan


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[TopicScan]:
    """The readers that were opened, and not closed since."""
    readers: list[TopicScan] = []

    class CountedScan(TopicScan):
        def __init__(self, kafka: KafkaCluster) -> None:
            super().__init__(kafka)
            readers.append(self)

        def close(self) -> None:
            super().close()
            readers.remove(self)

    monkeypatch.setattr(topic_locations, "TopicScan", CountedScan)
    return readers


def write(producer: Producer, topic: str, numbers: range, partition: int = 0) -> None:
    for number in numbers:
        producer.produce(topic, str(number), b"key", partition)
    assert producer.flush(30) == 0


def page(scan: TopicScan, start: Position, most: int) -> list[int]:
    return [int(record.value or b"") for record in itertools.islice(scan.read(start), most)]


def test_read_that_begins_where_the_last_one_was_left_gives_what_follows(
    embedded_kafka: Producer, scan: TopicScan, topic: str
) -> None:
    write(embedded_kafka, topic, range(10))
    found = [page(scan, Position(topic, 0, offset), 4) for offset in (0, 4, 8)]
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_read_that_begins_elsewhere_gives_what_is_there(embedded_kafka: Producer, scan: TopicScan, topic: str) -> None:
    write(embedded_kafka, topic, range(10))
    write(embedded_kafka, topic, range(20, 30), partition=1)
    assert page(scan, Position(topic, 0), 4) == [0, 1, 2, 3]
    assert page(scan, Position(topic, 1), 2) == [20, 21]
    assert page(scan, Position(topic, 0, 4), 2) == [4, 5]
    assert page(scan, Position(topic, 0, 2), 3) == [2, 3, 4]
    assert page(scan, Position(topic, 0, 8), 99) == [8, 9]
    assert page(scan, Position(topic, 0, 10), 99) == []


def test_record_that_came_since_the_last_page_is_read(embedded_kafka: Producer, scan: TopicScan, topic: str) -> None:
    """The reader has been told of an end then that is none any more."""
    write(embedded_kafka, topic, range(10))
    assert page(scan, Position(topic, 0), 4) == [0, 1, 2, 3]
    assert scan._consumer.poll(30)  # what is fetched now ends with the tenth record
    scan._left_at = Position(topic, 0, 5)
    write(embedded_kafka, topic, range(10, 20))
    assert page(scan, Position(topic, 0, 5), 99) == list(range(5, 20))
    write(embedded_kafka, topic, range(20, 30))
    assert page(scan, Position(topic, 0, 20), 99) == list(range(20, 30))


def test_one_reader_is_kept_for_all_pages_and_closed_after_them(opened: list[TopicScan]) -> None:
    with kept_scan():
        for _ in range(3):
            with open_scan():
                assert len(opened) == 1
        assert len(opened) == 1
    assert not opened
    with open_scan():
        assert len(opened) == 1
    assert not opened


def test_reader_that_failed_is_not_kept(opened: list[TopicScan]) -> None:
    with kept_scan():
        with pytest.raises(LocationUnavailable), open_scan() as failed:
            raise LocationUnavailable(f"{failed.kafka} does not answer")
        assert not opened
        with open_scan() as another:
            assert another is not failed
    assert not opened


def test_position_beyond_the_end_is_of_an_earlier_topic_so_that_all_is_read(
    embedded_kafka: Producer, scan: TopicScan, topic: str
) -> None:
    write(embedded_kafka, topic, range(3))
    assert page(scan, Position(topic, 0, 3), 10) == []
    assert page(scan, Position(topic, 0, 4), 10) == [0, 1, 2]
