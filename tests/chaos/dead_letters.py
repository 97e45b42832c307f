"""Check of dead letters against the poison records that were sent: each with its reason, and no others."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from featurestore import names
from tests.chaos.environment import PARTITIONS
from tests.chaos.poison_records import PoisonRecord

RecordId = tuple[str, int, int]  # topic, partition, offset


class DeadLetter(NamedTuple):
    """A dead letter: the quarantined record, its id, and the reason."""

    record_id: RecordId
    reason: str
    key: bytes | None
    value: bytes


class DeadLetterCheck(NamedTuple):
    """``missing``: poison records not quarantined, or for another reason. ``unexpected``: other dead letters."""

    missing: list[str]
    unexpected: list[str]


def check(dead_letters: Iterable[DeadLetter], poison_records: Mapping[RecordId, PoisonRecord]) -> DeadLetterCheck:
    """The differences. A dead letter may be there twice: a worker's replay quarantines the same record again."""
    reasons: dict[RecordId, set[str]] = {}
    unexpected = []
    known = {(poison.key, poison.value or b"") for poison in poison_records.values()}
    for dead_letter in dead_letters:
        reasons.setdefault(dead_letter.record_id, set()).add(dead_letter.reason)
        if (dead_letter.key, dead_letter.value) not in known:
            unexpected.append(f"{dead_letter.record_id}: {dead_letter.reason}")
    missing = [
        f"{record_id}: {poison.reason} expected, got {reasons.get(record_id)}"
        for record_id, poison in poison_records.items()
        if reasons.get(record_id) != {poison.reason}
    ]
    return DeadLetterCheck(missing, unexpected)


def read(bootstrap: str, generations: Iterable[int]) -> Iterator[DeadLetter]:
    """All dead letters of some generations."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "chaos-dead-letters", "enable.auto.commit": False})
    topics = [names.dead_letters(generation) for generation in generations]
    partitions = [TopicPartition(topic, partition, 0) for topic in topics for partition in range(PARTITIONS)]
    left = sum(high - low for low, high in (consumer.get_watermark_offsets(one, timeout=30) for one in partitions))
    consumer.assign(partitions)
    while left:
        for message in consumer.consume(left, timeout=1):
            assert not message.error(), message.error()
            left -= 1
            headers = {name: value.decode() for name, value in message.headers()}
            record_id = (headers["topic"], int(headers["partition"]), int(headers["offset"]))
            yield DeadLetter(record_id, headers["reason"], message.key(), message.value())
    consumer.close()
