"""Subjects without a stored permission: their events are skipped and counted, and nothing of them is deleted."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import pytest
from prometheus_client import REGISTRY

from featurestore.serving.answer import Status
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import FieldWrite, WriteOutcome
from featurestore.tiles.state_record import decode
from featurestore.tiles.stored_field import field_name
from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.lease import LeaseLost
from streams.processing import LEASE_PROOF
from tests.kit.purchases import refunds, spend
from tests.streams.environment import ANN, NOW_MS, PURGE, ProcessingEnvironment, fill

Changes = Mapping[bytes, bytes | None]


@pytest.fixture
def env() -> ProcessingEnvironment:
    """Three events of Ann are counted."""
    return counted(ProcessingEnvironment())


def counted(env: ProcessingEnvironment) -> ProcessingEnvironment:
    env.permit()
    env.fold(*(env.record(env.raw(at_ms=NOW_MS - i)) for i in range(3)))
    assert env.count() == 3
    return env


def skipped() -> float:
    return REGISTRY.get_sample_value("rapport_stream_no_permission_total", {"source": "purchases"}) or 0


def test_store_emptied_after_it_was_vouched_for_deletes_no_state(env: ProcessingEnvironment) -> None:
    before, counted = skipped(), env.table.values[ANN.encode()]
    env.empty()  # vouched for, without any permission
    env.fold(env.record(env.raw()))
    assert env.table.values[ANN.encode()] == counted
    assert skipped() == before + 1
    assert env.read().views["spend"].status is Status.WITHHELD
    env.permit()
    env.fold(env.record(env.raw()))
    assert env.count() == 4, "three before, and one after"


def test_purge_without_a_stored_permission_deletes_no_state(env: ProcessingEnvironment) -> None:
    counted = env.table.values[ANN.encode()]
    env.store.delete(ANN)
    env.purge(ANN)
    assert env.table.values[ANN.encode()] == counted


def test_lost_hash_is_withheld_then_stale_then_present_with_a_later_start(env: ProcessingEnvironment) -> None:
    env.store.delete(ANN)
    env.fold(env.record(env.raw()))
    assert env.read().views["spend"].status is Status.WITHHELD
    assert env.put_again()
    assert (env.read().views["spend"].status, env.count()) == (Status.STALE, None)
    env.purge(ANN)
    assert env.read().views["spend"].status is Status.STALE, "an event was skipped under the same start"
    env.now_ms = NOW_MS + 2_000
    env.permit(since_ms=NOW_MS + 1_000)
    assert env.read().views["spend"].status is Status.STALE
    env.purge(ANN)
    answer = env.read().views["spend"]
    assert (answer.status, answer.start) == (Status.PRESENT, "2023-11-14T22:13:21.000Z")
    assert env.count() == 3, "what was counted before is kept"


def test_event_of_a_subject_that_was_pushed_in_part_leaves_it_stale(env: ProcessingEnvironment) -> None:
    env.store.delete(ANN)
    env.put_again()
    env.fold(env.record(env.raw()))
    answer = env.read()
    assert answer.views["spend"].status is Status.STALE
    assert answer.features["spend_count_1h"] == 4


def test_purge_beside_an_event_writes_every_view() -> None:
    """Alone the event would write only the view that it changes."""
    env = ProcessingEnvironment(views=(spend, refunds))
    env.permit()
    returned = env.raw().replace(b"bought", b"returned")
    env.fold(env.record(returned), env.record(env.raw()))
    env.store.delete(ANN)
    env.put_again()
    env.permit(since_ms=NOW_MS + 1)
    purge = FetchBatch(PURGE, 0, 0, [KafkaRecord(0, NOW_MS, ANN.encode(), None)])
    asyncio.run(env.micro_batches.handle([purge, env.batch(env.record(env.raw()))]))
    assert env.store._fields[ANN].keys() == {field_name(view.name, "service") for view in (spend, refunds)}
    assert env.read().views["spend"].status is Status.PRESENT


class InterleavingStore(MemoryStore):
    """Store in which something happens before a write, or before fields are dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.before_write: list[Callable[[], object]] = []
        self.before_drop: list[Callable[[], object]] = []

    def write(self, writes: list[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        if self.before_write:
            self.before_write.pop()()
        return super().write(writes, now_ms)

    def drop_disallowed(self, subjects: Mapping[str, bytes | None]) -> None:
        if self.before_drop:
            self.before_drop.pop()()
        super().drop_disallowed(subjects)


def interleaved() -> tuple[ProcessingEnvironment, InterleavingStore]:
    store = InterleavingStore()
    return counted(ProcessingEnvironment(store)), store


def test_hash_lost_between_read_and_write_ends_the_micro_batch() -> None:
    env, store = interleaved()
    store.before_write = [partial(store.delete, ANN)]
    asyncio.run(asyncio.wait_for(env.micro_batches.handle([env.batch(env.record(env.raw()))]), 5))
    assert not store._fields.get(ANN)
    assert decode(env.table.values[ANN.encode()]).offset == 3, "it was folded under the permission that was there"
    env.put_again()
    env.permit(since_ms=NOW_MS + 1)
    env.purge(ANN)
    assert env.count() == 4


def test_hash_lost_again_during_its_purge_stays_stale() -> None:
    env, store = interleaved()

    def lose_again() -> None:
        store.delete(ANN)
        env.put_again()
        env.permit(since_ms=NOW_MS + 1)

    store.delete(ANN)
    env.put_again()
    env.permit(since_ms=NOW_MS + 1)
    store.before_drop = [lose_again]
    env.purge(ANN)
    assert env.read().views["spend"].status is Status.STALE
    env.purge(ANN)
    assert env.count() == 3


def test_replaced_worker_does_not_pass_its_old_table_for_all_there_is(
    env: ProcessingEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = dict(env.table.values)
    env.fold(env.record(env.raw()))
    env.store.delete(ANN)
    env.put_again()
    env.permit(since_ms=NOW_MS + 1)
    newer, env.table.values = env.table.values, old

    async def refuse(partition: int, changes: Changes) -> None:
        if changes:
            assert changes == {LEASE_PROOF: None}
            raise LeaseLost

    monkeypatch.setattr(env.table, "commit", refuse)
    with pytest.raises(LeaseLost):
        env.purge(ANN)
    monkeypatch.undo()
    assert env.read().views["spend"].status is Status.STALE
    env.table.values = newer
    env.purge(ANN)
    assert env.count() == 4


def test_emptied_store_that_is_filled_anew_marks_no_subject(env: ProcessingEnvironment) -> None:
    """Every value is pushed to a new store incarnation anyway."""
    env.store.restart(emptied=True)
    env.permit()
    fill(env.store)
    assert env.published() is Status.PRESENT
    assert env.count() == 3
