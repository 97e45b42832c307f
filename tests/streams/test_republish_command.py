"""The command republish: it claims the nodes, and reports progress until verifier and workers are done."""

import pytest

from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import StoreUnavailable, Watermark
from streams.republish_command import HINT_S, republish
from tests.kit.stores import vouch

PARTITIONS = [("orders", 0), ("orders", 1)]


class RepublishEnvironment:
    """A complete store, and steps of verifier and workers, one in each pause of the command."""

    def __init__(self) -> None:
        self.store, self.reported = MemoryStore(), list[str]()
        vouch(self.store, sequence=7)
        self.push(*PARTITIONS)

    @property
    def incarnation(self) -> str:
        (node,) = self.store.read((), (), (), 100).nodes
        return node.incarnation

    def push(self, *partitions: tuple[str, int]) -> None:
        for source, partition in partitions:
            self.store.advance_watermark(source, partition, Watermark(1, 5, 1_000, {}, self.incarnation))

    def vouch(self) -> None:
        claim = self.store.vouching_record().claim
        assert claim
        assert claim[:3] == (self.store.run(), 0, 0), "the run is claimed for a new incarnation"
        vouch(self.store, sequence=7)

    def republish(self, *steps: object) -> list[str]:
        left = list(steps)

        def pause(_seconds: float) -> None:
            step = left.pop(0)
            if callable(step):
                step()

        republish(self.store, PARTITIONS, self.reported.append, pause)
        assert not left
        return self.reported


def test_command_ends_when_permissions_and_partitions_are_complete() -> None:
    env = RepublishEnvironment()
    first = env.incarnation
    reported = env.republish(env.vouch, lambda: env.push(PARTITIONS[0]), lambda: env.push(PARTITIONS[1]))
    assert env.incarnation != first
    assert reported == [
        "vouched for 0 of 1; pushed 0 of 2 partitions",
        "vouched for 1 of 1; pushed 0 of 2 partitions",
        "vouched for 1 of 1; pushed 1 of 2 partitions",
        "vouched for 1 of 1; pushed 2 of 2 partitions",
    ]


def test_missing_process_is_named() -> None:
    env = RepublishEnvironment()
    idle = [None] * int(HINT_S / 0.5)
    reported = env.republish(*idle, env.vouch, *idle, lambda: env.push(*PARTITIONS))
    assert [line for line in reported if line.startswith("no progress")] == [
        "no progress for 15 s. Is `manage.py verify_store` running?",
        "no progress for 15 s. Is a stream worker for every partition running?",
    ]


def test_store_that_goes_away_meanwhile_is_waited_for() -> None:
    env = RepublishEnvironment()

    def away() -> None:
        env.store.available = False

    def back() -> None:
        env.store.available = True
        env.vouch()
        env.push(*PARTITIONS)

    assert env.republish(away, None, back)[-1] == "vouched for 1 of 1; pushed 2 of 2 partitions"


def test_store_that_is_away_at_first_is_an_error() -> None:
    env = RepublishEnvironment()
    env.store.available = False
    with pytest.raises(StoreUnavailable):
        env.republish()
