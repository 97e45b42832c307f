"""Evicted subjects: a purge, and the next event, write the same values again; until then reads are stale."""

import asyncio
from typing import Any

import pytest
from faust.types import TP

from featurestore.definitions import Registry
from featurestore.permission import Permission, PurposePermission
from featurestore.serving.answer import EVICTED, Status
from featurestore.store.protocol import FieldWrite, WriteOutcome
from featurestore.tiles.stored_field import FENCING_HEADER
from streams.evictions import IdleSubjects
from streams.fetch_batches import FetchBatch
from streams.processing import SourceProcessor
from streams.republisher import Republisher
from streams.watermarks import WatermarkPublisher
from tests.kit.purchases import EPOCH_S, both, purchases
from tests.kit.state_tables import MemoryStateTable
from tests.streams.environment import ANN, BOB, NOW_MS, TOPIC, ProcessingEnvironment

EVERYBODY_S = 2**32
"""A second since which everybody is idle."""
HOUR_MS = 3_600_000


@pytest.fixture
def env() -> ProcessingEnvironment:
    """Ann and Bob have consented, and an event each."""
    made = ProcessingEnvironment()
    for subject in (ANN, BOB):
        made.permit(subject)
        made.fold(made.record(made.raw(subject), subject))
    return made


def evict(env: ProcessingEnvironment, subject: str = ANN) -> None:
    assert env.store.evict([subject], EVERYBODY_S)[0]


def status(env: ProcessingEnvironment, subject: str = ANN) -> tuple[Status, str | None]:
    view = env.read(subject).views["spend"]
    return view.status, view.reason


def contents(env: ProcessingEnvironment, subject: str = ANN) -> dict[str, bytes]:
    return dict(env.store.contents([subject])[0])


def test_an_evicted_subject_is_stale_without_values_and_a_denied_purpose_withheld(env: ProcessingEnvironment) -> None:
    evict(env)
    assert status(env) == (Status.STALE, EVICTED)
    assert set(env.read().features.values()) == {None}
    assert status(env, BOB)[0] is Status.PRESENT
    env.permit(ANN, allowed=False)
    assert status(env) == (Status.WITHHELD, "refused")


def test_a_purge_writes_exactly_the_bytes_that_were_evicted(env: ProcessingEnvironment) -> None:
    before, table = contents(env), dict(env.table.values)
    evict(env)
    assert contents(env).keys() == {"p", "r"}
    env.purge(ANN)
    assert contents(env) == before
    assert env.table.values == table
    assert env.count() == 1


def test_the_next_event_writes_every_value(env: ProcessingEnvironment) -> None:
    evict(env)
    env.fold(env.record(env.raw()))
    assert env.count() == 2
    assert "r" not in contents(env)


def test_a_replayed_or_disallowed_event_of_an_evicted_subject_brings_its_values_back(
    env: ProcessingEnvironment,
) -> None:
    env.permit(since_ms=NOW_MS - 1_000)
    evict(env)
    env.fold(env.record(env.raw(at_ms=NOW_MS - 5_000)))  # from before the consent
    assert env.count() == 1
    assert contents(env).keys() == {"p", "spend/service"}


def test_the_next_event_of_one_source_writes_the_values_of_the_others() -> None:
    env = ProcessingEnvironment()
    other = SourceProcessor(
        purchases, Registry([purchases, both]), MemoryStateTable(), generation=1, partitions=8, clock=lambda: env.now_ms
    )  # type: ignore[arg-type]
    env.micro_batches.processors = {TOPIC: env.processor, "events.others.g1": other}  # type: ignore[dict-item]
    env.permit()
    batch = env.batch(env.record(env.raw()))
    asyncio.run(env.micro_batches.handle([batch, FetchBatch("events.others.g1", 0, batch.start, batch.records)]))
    before = contents(env)
    assert before.keys() == {"p", "spend/service", "both/service"}
    evict(env)
    env.fold(env.record(env.raw(number=0)))  # a duplicate: it changes no view
    assert contents(env)["both/service"] == before["both/service"]
    assert env.count() == 1


def test_an_eviction_between_read_and_write_leaves_the_subject_stale_until_its_next_purge(
    env: ProcessingEnvironment,
) -> None:
    write = env.store.write

    def evicted_before(writes: list[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        env.store.write = write
        evict(env)
        return list(write(writes, now_ms))

    env.store.write = evicted_before
    env.fold(env.record(env.raw()))
    assert status(env) == (Status.STALE, EVICTED)
    env.purge(ANN)
    assert env.count() == 2


def test_an_eviction_while_values_are_pushed_keeps_its_mark(env: ProcessingEnvironment) -> None:
    drop = env.store.drop_disallowed
    evict(env)

    def evicted_before(subjects: dict[str, bytes | None]) -> None:
        env.store.drop_disallowed = drop
        evict(env)  # the values that were just written
        drop(subjects)

    env.store.drop_disallowed = evicted_before
    env.purge(ANN)
    assert status(env) == (Status.STALE, EVICTED)
    env.purge(ANN)
    assert env.count() == 1


def test_a_withdrawal_and_a_new_grant_of_an_evicted_subject_start_empty(env: ProcessingEnvironment) -> None:
    evict(env)
    env.permit(allowed=False)
    env.permit(grant_id=2, since_ms=NOW_MS - 1)
    assert status(env) == (Status.STALE, EVICTED)
    env.purge(ANN)
    assert status(env)[0] is Status.MISSING
    env.fold(env.record(env.raw()))
    assert env.count() == 1


@pytest.mark.parametrize("held", [{"allowed": False, "paused": True}, {"until_ms": NOW_MS}], ids=["paused", "over"])
def test_values_of_a_held_grant_are_pushed_again_and_withheld(env: ProcessingEnvironment, held: dict[str, Any]) -> None:
    def publish(**changed: Any) -> None:
        env.sequence += 1
        kept = PurposePermission(**{"allowed": True, "grant_id": 1, "since_ms": 0} | changed)
        env.store.publish_permissions({ANN: Permission(1, env.sequence, {"service": kept})})

    before = contents(env)
    evict(env)
    publish(**held)
    assert status(env)[0] is Status.WITHHELD
    env.fold(env.record(env.raw()))  # counts nothing now
    assert status(env)[0] is Status.WITHHELD
    after = contents(env)
    assert after.keys() == before.keys()
    assert after["spend/service"][FENCING_HEADER.size :] == before["spend/service"][FENCING_HEADER.size :]
    publish()
    assert env.count() == 1


def test_values_of_a_purpose_that_is_paused_while_they_are_pushed_are_pushed_all_the_same(
    env: ProcessingEnvironment,
) -> None:
    write = env.store.write

    def paused_before(writes: list[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        env.store.write = write
        env.pause()
        return list(write(writes, now_ms))

    before = contents(env)
    evict(env)
    env.store.write = paused_before
    env.purge(ANN)
    assert contents(env).keys() == before.keys()
    assert contents(env)["spend/service"] == before["spend/service"]
    env.permit(allowed=False)
    evicted = contents(env)
    assert evicted.keys() == {"p"}, "a withdrawal drops them"


def test_an_eviction_mark_that_a_hash_lost_with_its_permission_ends_in_a_recreation(env: ProcessingEnvironment) -> None:
    evict(env)
    env.store.delete(ANN)
    assert status(env) == (Status.WITHHELD, "no_permission")
    assert env.put_again()
    env.purge(ANN)
    assert status(env)[0] is Status.STALE
    assert env.put_again(since_ms=env.now_ms + 1) is False
    env.purge(ANN)
    assert status(env)[0] is Status.PRESENT


# ------------------------------------------------------------------------------------------------ republications


def republish(env: ProcessingEnvironment, idle_s: int) -> None:
    """Publish watermarks and let republications end, with idle subjects left out."""
    idle = IdleSubjects([env.table], idle_s, lambda: env.now_ms)  # type: ignore[list-item]
    republisher = Republisher(env.queues, env.retrying, lambda: env.now_ms, idle)

    async def publish() -> None:
        watermarks = WatermarkPublisher({TOPIC: env.processor}, env.queues, env.retrying, republisher, 1)
        await watermarks.publish({TP(TOPIC, 0): env.now_ms})
        while republisher.reason:
            await asyncio.sleep(0)
        await watermarks.publish({TP(TOPIC, 0): env.now_ms})

    asyncio.run(publish())


def put_permissions(env: ProcessingEnvironment) -> None:
    held = {"service": PurposePermission(True, 1, 0)}
    env.store.publish_permissions({subject: Permission(1, 9, held) for subject in (ANN, BOB)})


def test_a_store_that_was_emptied_gets_no_values_of_idle_subjects(env: ProcessingEnvironment) -> None:
    before = contents(env)
    env.now_ms += HOUR_MS
    env.fold(env.record(env.raw(BOB, at_ms=NOW_MS + 200_000), BOB))
    env.empty()
    put_permissions(env)
    republish(env, idle_s=3_500)
    assert status(env) == (Status.STALE, EVICTED)
    assert status(env, BOB)[0] is Status.PRESENT
    env.purge(ANN)
    assert contents(env)["spend/service"] == before["spend/service"]
    assert status(env)[0] is Status.PRESENT


def test_a_store_that_kept_its_values_keeps_those_of_idle_subjects(env: ProcessingEnvironment) -> None:
    before = contents(env)
    env.now_ms += HOUR_MS
    env.store.restart()
    env.fill()
    evict(env, BOB)
    republish(env, idle_s=60)
    assert contents(env) == before
    assert status(env)[0] is Status.PRESENT
    assert status(env, BOB) == (Status.STALE, EVICTED)
    assert contents(env, BOB).keys() == {"p", "r"}


def test_a_subject_with_an_event_of_any_source_is_not_idle(env: ProcessingEnvironment) -> None:
    idle = IdleSubjects([env.table], 60, lambda: NOW_MS + 61_000)  # type: ignore[list-item]
    assert idle.among(0, [ANN.encode(), BOB.encode()]) == {ANN: EPOCH_S, BOB: EPOCH_S}
    other = MemoryStateTable()
    active = IdleSubjects([other, env.table], 61, lambda: NOW_MS + 61_000)  # type: ignore[list-item]
    assert active.among(0, [ANN.encode(), BOB.encode()]) == {}
