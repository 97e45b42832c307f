"""Subjects whose events are skipped for want of a permission are written to a topic before."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY

from featurestore.passed_by import PARTITION, REMEMBERED_S, VALUE, key_of, subject_of
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import ReadResult
from featurestore.tiles.state_record import decode
from streams import passed_by
from streams.passed_by import PassedByWriter
from tests.kit.clock import Clock
from tests.kit.purchases import refunds, spend
from tests.streams.environment import ANN, BOB, NOW_MS, ProcessingEnvironment

TOPIC = "rapport.passed-by"


class MemoryChangelog:
    """Writer of records, in memory. ``meanwhile``: what happens while a write is on its way."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.removed: list[bytes] = []
        self.meanwhile: Callable[[], object] = lambda: None

    async def append(self, topic: str, partition: int, changes: Mapping[bytes, bytes | None]) -> list[range]:
        assert (topic, partition) == (TOPIC, PARTITION)
        self.meanwhile()
        for key, value in changes.items():
            assert value in (VALUE, None)
            (self.keys if value else self.removed).append(key)
        return []

    @property
    def subjects(self) -> list[str | None]:
        return [subject_of(key) for key in self.keys]


@pytest.fixture
def changelog() -> MemoryChangelog:
    return MemoryChangelog()


@pytest.fixture
def env(changelog: MemoryChangelog, clock: Clock) -> ProcessingEnvironment:
    """Views of the same source in two purposes' views; nobody has a permission."""
    return environment(changelog, clock)


def environment(changelog: MemoryChangelog, clock: Clock, store: MemoryStore | None = None) -> ProcessingEnvironment:
    writer = PassedByWriter(TOPIC, changelog, clock)  # type: ignore[arg-type]
    return ProcessingEnvironment(store, views=(spend, refunds), passed_by=writer)


def test_subject_is_written_once_while_it_is_remembered(
    env: ProcessingEnvironment, changelog: MemoryChangelog, clock: Clock
) -> None:
    env.fold(env.record(env.raw()), env.record(env.raw()))
    clock.pass_s(REMEMBERED_S - 1)
    env.fold(env.record(env.raw()))
    assert changelog.subjects == [ANN]
    clock.pass_s(1)
    env.fold(env.record(env.raw()))
    assert changelog.subjects == [ANN, ANN]
    assert len(set(changelog.keys)) == 2, "a tombstone of one leaves the other"


def test_permission_that_comes_while_the_subject_is_written_counts_the_event(
    env: ProcessingEnvironment, changelog: MemoryChangelog
) -> None:
    changelog.meanwhile = env.permit
    env.fold(env.record(env.raw()))
    assert changelog.subjects == [ANN]
    assert env.count() == 1
    assert changelog.removed == changelog.keys, "nothing was skipped"


def test_others_of_the_micro_batch_are_folded(env: ProcessingEnvironment, changelog: MemoryChangelog) -> None:
    env.permit(BOB)
    env.fold(env.record(env.raw()), env.record(env.raw(BOB), BOB))
    assert changelog.subjects == [ANN]
    assert env.count(BOB) == 1


def test_permitted_subject_and_one_with_nothing_new_are_not_written(
    env: ProcessingEnvironment, changelog: MemoryChangelog
) -> None:
    env.permit()
    batch = env.fold(env.record(env.raw()))
    env.store.delete(ANN)
    asyncio.run(env.micro_batches.handle([batch]))  # again
    env.purge(BOB)
    assert changelog.keys == []
    assert decode(env.table.values[ANN.encode()]).offset == 0


def test_purge_of_a_state_record_is_passed_by_only_after_its_subject_was_written(
    env: ProcessingEnvironment, changelog: MemoryChangelog
) -> None:
    env.permit()
    env.fold(env.record(env.raw()))
    env.store.delete(ANN)
    env.purge(ANN)
    assert changelog.subjects == [ANN]
    env.permit(since_ms=NOW_MS + 1)
    env.fold(env.record(env.raw()))
    assert changelog.removed == [], "an event carries out no purge"
    env.purge(ANN)
    assert changelog.removed == changelog.keys


def test_entries_are_removed_when_a_permission_claims_nothing_that_was_skipped(
    env: ProcessingEnvironment, changelog: MemoryChangelog, clock: Clock
) -> None:
    for _ in range(2):
        env.fold(env.record(env.raw()))
        clock.pass_s(REMEMBERED_S)
    assert changelog.subjects == [ANN, ANN]
    for since_ms, claims in ((0, True), (NOW_MS, True), (NOW_MS + 1, False)):
        env.permit(since_ms=since_ms)
        env.purge(ANN)
        assert changelog.removed == ([] if claims else changelog.keys)
    env.store.delete(ANN)
    env.fold(env.record(env.raw()))
    assert len(set(changelog.keys)) == 3, "the removed ones cover nothing any more"


@pytest.mark.parametrize("state", ["denied", "paused"])
def test_entry_is_removed_when_nothing_is_allowed_and_kept_for_a_pause(
    env: ProcessingEnvironment, changelog: MemoryChangelog, state: str
) -> None:
    env.fold(env.record(env.raw()))
    if state == "denied":
        env.permit(allowed=False)
    else:
        env.pause()
    env.fold(env.record(env.raw()))
    assert (changelog.removed == changelog.keys) == (state == "denied")


def test_events_are_counted_once_though_the_permission_is_read_twice(env: ProcessingEnvironment) -> None:
    def counted() -> list[float]:
        names = ("rapport_stream_no_permission_total", "rapport_stream_events_total")
        return [REGISTRY.get_sample_value(name, {"source": "purchases"}) or 0 for name in names]

    before = counted()
    env.permit(BOB)
    env.fold(env.record(env.raw()), env.record(env.raw()), env.record(env.raw(BOB), BOB))
    env.fold(env.record(env.raw()))
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [3, 4]


def test_store_that_is_emptied_while_the_subject_is_written_makes_the_worker_wait(changelog: MemoryChangelog) -> None:
    """The subject is in the topic before the store is filled again; then its event counts."""

    class EmptiedStore(MemoryStore):
        reads = 0

        def read(self, *arguments: object) -> ReadResult:  # type: ignore[override]
            self.reads += 1
            if self.reads == 4:  # the worker has waited
                env.permit()
                env.fill()
            return super().read(*arguments)  # type: ignore[arg-type]

    env = environment(changelog, Clock(), EmptiedStore())

    def empty_once() -> None:
        changelog.meanwhile = lambda: None
        env.store.restart(emptied=True)

    changelog.meanwhile = empty_once
    asyncio.run(env.micro_batches.handle([env.batch(env.record(env.raw()))]))
    assert changelog.subjects == [ANN]
    assert decode(env.table.values[ANN.encode()]).offset == 0, "it is folded"


def test_event_is_not_acknowledged_if_its_subject_can_not_be_written(
    env: ProcessingEnvironment, changelog: MemoryChangelog
) -> None:
    def fail() -> None:
        raise KafkaError("the broker is away")

    changelog.meanwhile = fail
    for _ in range(2):
        with pytest.raises(KafkaError):
            env.fold(env.record(env.raw()))
    changelog.meanwhile = lambda: None
    env.fold(env.record(env.raw()))
    assert changelog.subjects == [ANN]


def test_forgotten_subject_is_written_again(
    env: ProcessingEnvironment, changelog: MemoryChangelog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passed_by, "MAX_REMEMBERED", 1)
    for subject in (ANN, ANN, BOB, BOB, ANN):
        env.fold(env.record(env.raw(subject), subject))
    assert changelog.subjects == [ANN, BOB, ANN]


def test_key_of_an_entry_has_its_subject_and_nothing_else_has_one() -> None:
    assert subject_of(key_of(ANN, "7f")) == ANN
    for key in (b"", b"/", ANN.encode(), f"{ANN}/".encode(), b"x/7f", "é/7f".encode()):
        assert subject_of(key) is None
