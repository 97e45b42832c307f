"""A republish: begun by a claim, carried on by voucher and workers, told until it is done."""

import pytest

from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import StoreUnavailable, Watermark
from streams.republish_command import HINT_S, republish
from tests.kit.stores import vouch

PLACES = [("orders", 0), ("orders", 1)]


class World:
    """A store that was whole, and what voucher and workers do, a step a pause."""

    def __init__(self) -> None:
        self.store, self.said, self.steps = MemoryStore(), list[str](), 0
        vouch(self.store, sequence=7)
        self.push(*PLACES)

    @property
    def fill(self) -> str:
        (node,) = self.store.read((), (), (), 100).nodes
        return node.incarnation

    def push(self, *places: tuple[str, int]) -> None:
        for source, partition in places:
            self.store.advance_watermark(source, partition, Watermark(1, 5, 1_000, {}, self.incarnation))

    def vouch(self) -> None:
        assert self.store.read_claim() == (self.store.run(), 0, 0), "the run is said to be in filling"
        vouch(self.store, sequence=7)

    def republish(self, *steps: object) -> list[str]:
        left = list(steps)

        def pause(_seconds: float) -> None:
            step = left.pop(0)
            if callable(step):
                step()

        republish(self.store, PLACES, self.said.append, pause)
        assert not left
        return self.said


def test_it_ends_when_every_permission_and_every_partition_is_there_again() -> None:
    world = World()
    first = world.incarnation
    said = world.republish(world.vouch, lambda: world.push(PLACES[0]), lambda: world.push(PLACES[1]))
    assert world.incarnation != first
    assert said == [
        "vouched for 0 of 1; pushed 0 of 2 partitions",
        "vouched for 1 of 1; pushed 0 of 2 partitions",
        "vouched for 1 of 1; pushed 1 of 2 partitions",
        "vouched for 1 of 1; pushed 2 of 2 partitions",
    ]


def test_who_may_be_missing_is_named() -> None:
    world = World()
    idle = [None] * int(HINT_S / 0.5)
    said = world.republish(*idle, world.vouch, *idle, lambda: world.push(*PLACES))
    assert [line for line in said if line.startswith("no progress")] == [
        "no progress for 15 s. Is `manage.py verify_store` running?",
        "no progress for 15 s. Is a stream worker for every partition running?",
    ]


def test_a_store_that_goes_away_meanwhile_is_waited_for() -> None:
    world = World()

    def away() -> None:
        world.store.available = False

    def back() -> None:
        world.store.available = True
        world.vouch()
        world.push(*PLACES)

    assert world.republish(away, None, back)[-1] == "vouched for 1 of 1; pushed 2 of 2 partitions"


def test_a_store_that_is_away_is_an_error() -> None:
    world = World()
    world.store.available = False
    with pytest.raises(StoreUnavailable):
        world.republish()
