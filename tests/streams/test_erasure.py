"""Erased subjects: a permission without any purpose leaves nothing in the table, and no replay brings it back."""

import asyncio

from featurestore.permission import Permission
from tests.streams.environment import ANN, BOB, NOW_MS, ProcessingEnvironment

LATER_MS = 2_000


def erase(env: ProcessingEnvironment, subject: str = ANN) -> None:
    env.sequence += 1
    env.store.publish_permissions({subject: Permission(1, env.sequence)})


def counted() -> ProcessingEnvironment:
    env = ProcessingEnvironment()
    for subject in (ANN, BOB):
        env.permit(subject)
        env.fold(env.record(env.raw(subject), subject))
    return env


def test_purge_of_an_erased_subject_deletes_its_state_and_no_other() -> None:
    env = counted()
    erase(env)
    env.purge(ANN, BOB)
    assert ANN.encode() not in env.table.values
    assert {ANN.encode(): None} in env.table.commits, "a tombstone for the changelog"
    assert env.store.contents([ANN]) == [{"p": Permission(1, env.sequence).encode()}]
    assert (env.count(ANN), env.count(BOB)) == (None, 1)


def test_purge_is_repeatable_and_writes_one_tombstone() -> None:
    env = counted()
    erase(env)
    env.purge(ANN)
    env.purge(ANN)
    assert sum(ANN.encode() in commit for commit in env.table.commits) == 2, "its state, and one tombstone"


def test_events_and_replays_after_an_erasure_leave_nothing() -> None:
    env = ProcessingEnvironment()
    env.permit()
    before = env.fold(env.record(env.raw()))
    erase(env)
    env.fold(env.record(env.raw()))
    assert ANN.encode() not in env.table.values
    asyncio.run(env.new_worker().handle([before]))
    assert ANN.encode() not in env.table.values


def test_registration_after_an_erasure_starts_empty_whatever_is_replayed() -> None:
    env = ProcessingEnvironment()
    env.permit()
    before = env.fold(env.record(env.raw()))
    erase(env)
    env.purge(ANN)
    env.permit(grant_id=9, since_ms=NOW_MS + LATER_MS // 2)
    env.now_ms += LATER_MS
    asyncio.run(env.new_worker().handle([before]))
    later = env.record(env.raw(at_ms=NOW_MS + LATER_MS))._replace(timestamp_ms=NOW_MS + LATER_MS)
    env.fold(later)
    assert env.count() == 1
