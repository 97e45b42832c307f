"""What was put aside against the poison that was sent: each piece of it, with its reason, and nothing else."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from featurestore import names
from tests.chaos.poison import Poison
from tests.chaos.world import PARTITIONS

Place = tuple[str, int, int]  # topic, partition, offset


class Judgement(NamedTuple):
    """``missing``: poison that was not put aside, or for another reason. ``unasked``: what no poison explains."""

    missing: list[str]
    unasked: list[str]
    letters: int


def judge(bootstrap: str, generation: int, poisons: Mapping[Place, Poison]) -> Judgement:
    """Read all dead letters. One may be there twice, as a replay puts the same record aside again."""
    reasons: dict[Place, set[str]] = {}
    unasked, letters = [], 0
    known = {(poison.key, poison.value or b"") for poison in poisons.values()}
    for letter in read(bootstrap, names.dead_letters(generation)):
        letters += 1
        headers = {name: value.decode() for name, value in letter.headers()}
        place = (headers["topic"], int(headers["partition"]), int(headers["offset"]))
        reasons.setdefault(place, set()).add(headers["reason"])
        if (letter.key(), letter.value()) not in known:
            unasked.append(f"{place}: {headers['reason']}, {headers['detail']}")
    missing = [
        f"{place}: {poison.reason} expected, got {reasons.get(place)}"
        for place, poison in poisons.items()
        if reasons.get(place) != {poison.reason}
    ]
    return Judgement(missing, unasked, letters)


def read(bootstrap: str, topic: str) -> Iterator[Message]:
    """Everything of a topic, as it is now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "chaos-letters", "enable.auto.commit": False})
    places = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
    left = sum(high - low for low, high in (consumer.get_watermark_offsets(place, timeout=30) for place in places))
    consumer.assign(places)
    while left:
        for message in consumer.consume(left, timeout=1):
            assert not message.error(), message.error()
            left -= 1
            yield message
    consumer.close()
