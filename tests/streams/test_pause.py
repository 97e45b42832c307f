"""Paused purposes: nothing is folded or answered, and what was counted is kept until the pause is lifted."""

import asyncio
from collections.abc import Mapping

import pytest

from featurestore.permission import Denial, Permission, PurposePermission
from featurestore.serving.answer import Status
from featurestore.tiles.stored_field import FENCING_HEADER
from tests.kit.purchases import both
from tests.streams.environment import ANN, NOW_MS, ProcessingEnvironment


@pytest.fixture
def env() -> ProcessingEnvironment:
    """Two events of Ann are counted; then her permission is paused."""
    made = ProcessingEnvironment()
    made.permit()
    made.fold(*(made.record(made.raw(at_ms=NOW_MS - i)) for i in range(2)))
    assert made.count() == 2
    made.pause()
    return made


def values_of(fields: Mapping[str, bytes]) -> dict[str, bytes]:
    """The fields without their fencing headers: those that are pushed again have a later offset."""
    return {name: raw[FENCING_HEADER.size :] for name, raw in fields.items()}


def test_nothing_is_folded_or_deleted_while_paused(env: ProcessingEnvironment) -> None:
    views = env.state().views
    fields = dict(env.store._fields[ANN])
    env.fold(env.record(env.raw()))
    assert env.store._fields[ANN] == fields
    env.purge(ANN)
    assert (env.state().views, env.state().offset) == (views, 2)
    assert values_of(env.store._fields[ANN]) == values_of(fields)
    answer = env.read().views["spend"]
    assert (answer.status, answer.reason) == (Status.WITHHELD, Denial.PAUSED)


def test_lifted_pause_counts_what_came_before_and_after_it(env: ProcessingEnvironment) -> None:
    paused = env.fold(env.record(env.raw()))
    env.now_ms = NOW_MS + 2_000
    env.permit(since_ms=NOW_MS + 1_000)
    assert env.count() == 2, "the store kept the values"
    asyncio.run(env.new_worker().handle([paused]))  # a replay
    later = env.record(env.raw(at_ms=NOW_MS + 1_000))._replace(timestamp_ms=NOW_MS + 1_000)
    env.fold(later)
    assert env.count() == 3
    assert env.read().views["spend"].start == "2023-11-14T22:13:21.000Z"


def test_pause_outlives_an_emptied_store(env: ProcessingEnvironment) -> None:
    env.store.restart(emptied=True)
    env.pause()
    env.fill()
    assert env.published() is Status.WITHHELD
    assert list(env.store._fields[ANN]) == ["spend/service"], "what is kept is in the store, too"
    env.fold(env.record(env.raw()))
    env.permit(since_ms=NOW_MS + 1_000)
    env.purge(ANN)
    assert env.count() == 2


def test_hash_lost_while_paused_is_stale_until_it_is_lifted_and_pushed(env: ProcessingEnvironment) -> None:
    env.store.delete(ANN)
    assert env.put_again(allowed=False, paused=True)
    env.purge(ANN)
    assert env.read().views["spend"].status is Status.WITHHELD
    env.now_ms = NOW_MS + 2_000
    env.permit(since_ms=NOW_MS + 1_000)
    assert env.read().views["spend"].status is Status.STALE
    env.purge(ANN)
    assert env.count() == 2


def test_withdrawal_of_a_paused_purpose_deletes_it(env: ProcessingEnvironment) -> None:
    env.permit(allowed=False)
    env.purge(ANN)
    assert not env.state().views
    assert not env.store._fields[ANN]


def test_pause_of_one_purpose_leaves_the_other() -> None:
    env = ProcessingEnvironment(views=(both,))

    def permit(*, paused: bool) -> None:
        env.sequence += 1
        held = {
            "service": PurposePermission(not paused, 1, 0, paused=paused),
            "personalisation": PurposePermission(True, 2, 0),
        }
        env.store.publish_permissions({ANN: Permission(1, env.sequence, held)})

    permit(paused=False)
    env.fold(env.record(env.raw()))
    permit(paused=True)
    kept = env.store._fields[ANN]["both/service"]
    env.fold(env.record(env.raw()))
    assert env.store._fields[ANN]["both/service"] == kept
    assert [stored.grant_ids for stored in env.state().views["both"]] == [{"personalisation": 2}, {"service": 1}]


def test_values_of_a_grant_that_is_over_are_pushed_to_an_emptied_store() -> None:
    env = ProcessingEnvironment()
    env.permit(until_ms=NOW_MS + 10_000)
    env.fold(env.record(env.raw()))
    env.empty()
    env.permit(until_ms=NOW_MS + 10_000)
    env.now_ms = NOW_MS + 10_050
    assert env.published() is Status.WITHHELD
    env.permit(until_ms=NOW_MS + 10**9)  # renewed in time, published now
    assert env.count() == 1
