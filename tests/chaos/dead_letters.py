"""What was put aside against the poison that was sent: each piece of it, with its reason, and nothing else."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from featurestore import names
from tests.chaos.poison import Poison
from tests.chaos.world import PARTITIONS

Place = tuple[str, int, int]  # topic, partition, offset


class Letter(NamedTuple):
    """A dead letter: the record as it was, where it came from, and why it was put aside."""

    place: Place
    reason: str
    key: bytes | None
    value: bytes


class Judgement(NamedTuple):
    """``missing``: poison that was not put aside, or for another reason. ``unasked``: what no poison explains."""

    missing: list[str]
    unasked: list[str]


def judge(letters: Iterable[Letter], poisons: Mapping[Place, Poison]) -> Judgement:
    """One letter may be there twice, as a replay puts the same record aside again."""
    reasons: dict[Place, set[str]] = {}
    unasked = []
    known = {(poison.key, poison.value or b"") for poison in poisons.values()}
    for letter in letters:
        reasons.setdefault(letter.place, set()).add(letter.reason)
        if (letter.key, letter.value) not in known:
            unasked.append(f"{letter.place}: {letter.reason}")
    missing = [
        f"{place}: {poison.reason} expected, got {reasons.get(place)}"
        for place, poison in poisons.items()
        if reasons.get(place) != {poison.reason}
    ]
    return Judgement(missing, unasked)


def read(bootstrap: str, generation: int) -> Iterator[Letter]:
    """All dead letters that there are."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "chaos-letters", "enable.auto.commit": False})
    topic = names.dead_letters(generation)
    places = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
    left = sum(high - low for low, high in (consumer.get_watermark_offsets(place, timeout=30) for place in places))
    consumer.assign(places)
    while left:
        for message in consumer.consume(left, timeout=1):
            assert not message.error(), message.error()
            left -= 1
            headers = {name: value.decode() for name, value in message.headers()}
            place = (headers["topic"], int(headers["partition"]), int(headers["offset"]))
            yield Letter(place, headers["reason"], message.key(), message.value())
    consumer.close()
