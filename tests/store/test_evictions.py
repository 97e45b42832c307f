"""Evictions: the values of an idle subject leave the store in one step, and a mark stays."""

from struct import pack

import pytest

from featurestore.permission import Permission, PurposePermission
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import (
    EVICTION_TOKENS,
    FieldWrite,
    NodeState,
    OnlineStore,
    StoredSubject,
    WriteOutcome,
    eviction_mark,
    eviction_token,
)
from featurestore.store.redis import RedisStore, subject_key
from featurestore.tiles.stored_field import newest_s_of, pack_field
from tests.store.subjects import ANN, BOB, NOW_MS, allowing, pausing, refusing

NOW_S = NOW_MS // 1000


def values(newest_s: int, *, offset: int = 1, subject: str = ANN, view: str = "spend", grant: int = 1) -> FieldWrite:
    """A view's values, whose newest counted event was in a second."""
    value = pack_field(1, offset, grant, pack("<IIHB", 7, newest_s, 1, 0) + b"rows and cells")
    return FieldWrite(subject, f"{view}/service", "service", value)


def read(store: OnlineStore, subject: str = ANN) -> StoredSubject:
    return store.read([subject], ["spend/service", "visits/service"], [], 1_000).subjects[0]


def test_values_of_an_idle_subject_are_deleted_and_its_permission_stays(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(), BOB: allowing()})
    spend, visits, other = values(NOW_S - 9), values(NOW_S - 5, view="visits"), values(NOW_S, subject=BOB)
    assert set(store.write([spend, visits, other], NOW_MS)) == {WriteOutcome.DONE}
    size = sum(len(write.name) + len(write.value) for write in (spend, visits))
    before = store.contents([ANN, BOB])
    assert store.evict([ANN, BOB], NOW_S - 4, dry_run=True) == [size, None]
    assert store.contents([ANN, BOB]) == before
    assert store.evict([ANN, BOB], NOW_S - 5) == [None, None], "an event of that second is none before it"
    assert store.evict([ANN, BOB], NOW_S - 4) == [size, None]
    found = read(store)
    assert (found.permission, found.fields, found.is_evicted, found.recreated_ms) == (
        allowing(), [None, None], True, None
    )  # fmt: skip
    assert found.evicted_event_s == NOW_S - 5
    assert store.contents([ANN, BOB]) == [{"p": allowing().encode(), "r": found.recreation_mark}, before[1]]
    assert store.evict([ANN, BOB], NOW_S - 4) == [0, None], "again changes nothing"
    assert read(store).recreation_mark == found.recreation_mark


def test_a_mark_is_removed_when_its_values_were_pushed_and_not_that_of_a_later_eviction(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing()})
    store.write([values(NOW_S - 9)], NOW_MS)
    store.evict([ANN], NOW_S)
    first = read(store).recreation_mark
    store.write([values(NOW_S - 9, offset=2)], NOW_MS)
    assert read(store).is_evicted
    store.evict([ANN], NOW_S)
    second = read(store).recreation_mark
    assert second != first
    store.drop_disallowed({ANN: first})
    assert read(store).recreation_mark == second, "what was pushed is evicted again"
    store.drop_disallowed({ANN: None})
    assert read(store).recreation_mark == second
    store.write([values(NOW_S - 9, offset=2)], NOW_MS)
    store.drop_disallowed({ANN: second})
    assert read(store)[:2] == (allowing(), [values(NOW_S - 9, offset=2).value, None])
    assert not read(store).is_evicted


@pytest.mark.parametrize(
    "permission",
    [pausing(), Permission(1, 2, allowing().purposes | {"ads": PurposePermission(False, 2, 5, paused=True)})],
    ids=["paused", "another purpose paused"],
)
def test_nothing_of_a_subject_with_a_paused_purpose_is_evicted(store: OnlineStore, permission: Permission) -> None:
    store.publish_permissions({ANN: allowing()})
    store.write([values(NOW_S - 9)], NOW_MS)
    store.publish_permissions({ANN: permission})
    before = store.contents([ANN])
    assert store.evict([ANN], NOW_S) == [0]
    assert store.mark_evicted({ANN: NOW_S - 9}) == set()
    assert store.contents([ANN]) == before


def test_nothing_of_a_subject_without_a_permission_or_with_a_recreation_mark_is_evicted(store: OnlineStore) -> None:
    assert store.evict([ANN, BOB], NOW_S) == [0, 0]
    assert store.mark_evicted({ANN: NOW_S - 9}) == set()
    assert store.contents([ANN]) == [{}]
    store.publish_permissions({ANN: allowing()}, now_ms=NOW_MS)
    store.write([values(NOW_S - 9)], NOW_MS)
    before = store.contents([ANN])
    assert store.evict([ANN], NOW_S) == [0]
    assert store.contents([ANN]) == before


def test_a_withdrawal_and_a_new_grant_keep_the_mark(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing()})
    store.write([values(NOW_S - 9)], NOW_MS)
    store.evict([ANN], NOW_S)
    mark = read(store).recreation_mark
    assert not store.publish_permissions({ANN: refusing()}, now_ms=NOW_MS)[ANN].recreated
    again = allowing(grant=3, sequence=3, since_ms=NOW_MS)
    assert not store.publish_permissions({ANN: again}, now_ms=NOW_MS)[ANN].recreated
    assert (read(store).permission, read(store).recreation_mark) == (again, mark)
    assert store.write([values(NOW_S - 9)], NOW_MS) == [WriteOutcome.NOT_ALLOWED], "of the grant before"


def test_a_subject_is_marked_only_where_it_has_no_values(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(), BOB: allowing()})
    store.write([values(NOW_S - 9)], NOW_MS)
    assert store.mark_evicted({ANN: NOW_S - 9, BOB: NOW_S - 7}) == {BOB}
    assert [read(store).is_evicted, read(store, BOB).is_evicted] == [False, True]
    assert [read(store).evicted_event_s, read(store, BOB).evicted_event_s] == [None, NOW_S - 7]
    mark = read(store, BOB).recreation_mark
    assert store.mark_evicted({BOB: NOW_S - 3}) == {BOB}
    assert read(store, BOB).recreation_mark == mark


def test_values_that_no_worker_wrote_are_not_evicted(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing()})
    short = FieldWrite(ANN, "spend/service", "service", pack_field(1, 1, 1, b"short"))
    store.write([short, values(NOW_S - 9, view="visits")], NOW_MS)
    assert newest_s_of(short.value) is None
    assert store.evict([ANN], NOW_S) == [0]
    assert read(store).fields == [short.value, values(NOW_S - 9, view="visits").value]


@pytest.mark.parametrize("store", ["redis_server", "valkey_server", "redis_cluster", "valkey_cluster"], indirect=True)
def test_a_key_that_is_no_hash_stays(store: OnlineStore) -> None:
    node = next(node for node in store.nodes() if node.owns(ANN))
    assert not isinstance(node, MemoryStore)
    node._execute([("SET", subject_key(ANN), "another program's")])  # type: ignore[attr-defined]
    assert store.evict([ANN], NOW_S) == [0]
    assert store.mark_evicted({ANN: NOW_S - 9}) == set()


def test_a_subject_with_a_subscriber_is_not_idle(redis_server: str) -> None:
    store, listener = RedisStore(redis_server, 2_000), RedisStore(redis_server, 2_000)
    store._execute([("FLUSHALL",)])
    store.publish_permissions({ANN: allowing()})
    store.write([values(NOW_S - 9)], NOW_MS)
    listener._execute([("SUBSCRIBE", subject_key(ANN))])
    assert store.evict([ANN], NOW_S) == [None]
    assert not read(store).is_evicted
    for one in (store, listener):
        one.server.close()


def test_a_full_store_is_emptied_of_idle_subjects(redis_server: str) -> None:
    store = RedisStore(redis_server, 2_000)
    store._execute([("FLUSHALL",)])
    store.publish_permissions({ANN: allowing()})
    store.write([values(NOW_S - 9)], NOW_MS)
    try:
        store._execute([("CONFIG", "SET", "maxmemory", 1)])
        assert store.memory().limit_bytes == 1 < store.memory().used_bytes
        assert store.evict([ANN], NOW_S)[0]
    finally:
        store._execute([("CONFIG", "SET", "maxmemory", 0)])
    assert (read(store).is_evicted, store.memory().limit_bytes) == (True, 0)
    store.server.close()


@pytest.mark.parametrize("newest_s", [0, NOW_S, 2**32 - 1])
def test_a_mark_tells_the_newest_event_and_whether_it_is_of_the_same_eviction(newest_s: int) -> None:
    first, last = eviction_mark(newest_s, 0), eviction_mark(newest_s, EVICTION_TOKENS - 1)
    assert first != last
    for mark in (first, last):
        stored = StoredSubject(None, [], NodeState("", []), mark)
        assert (stored.is_evicted, stored.evicted_event_s, stored.recreated_ms) == (True, newest_s, None)
    assert 0 <= eviction_token() < EVICTION_TOKENS
