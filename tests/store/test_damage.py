"""Contents that no version writes: the subject alone is withheld, and the next publication mends it."""

from collections.abc import Iterator

import pytest

from featurestore.permission import Permission, PurposePermission
from featurestore.store.metrics import DAMAGED
from featurestore.store.protocol import Watermark, WriteOutcome
from featurestore.store.redis import RedisStore, subject_key
from tests.kit.stores import vouch
from tests.store.subjects import ANN, BOB, NOW_MS, allowing, field, stored

KEY = subject_key(ANN)


@pytest.fixture
def redis(redis_server: str) -> Iterator[RedisStore]:
    """A store with a permission and a value of two subjects."""
    store = RedisStore(redis_server, 2_000)
    store._execute([("FLUSHALL",)])
    vouch(store)
    store.publish_permissions({ANN: allowing(), BOB: allowing()})
    store.write([field(1), field(1, subject=BOB)], NOW_MS)
    yield store
    store.server.close()


def found(content: str) -> float:
    return DAMAGED.labels(content)._value.get()


@pytest.mark.parametrize(
    ("commands", "content"),
    [
        ([("DEL", KEY), ("SET", KEY, "x")], "hash"),
        ([("HSET", KEY, "p", b"\x93\x01\x01")], "permission"),
        ([("HSET", KEY, "p", "text")], "permission"),
        ([("HSET", KEY, "p", b"\x93\x01\x01\x81\xa7service\x05")], "permission"),
    ],
    ids=["no hash", "cut permission", "text", "purpose of another form"],
)
def test_unreadable_permission_withholds_its_subject_alone(
    redis: RedisStore, commands: list[tuple[str | bytes, ...]], content: str
) -> None:
    before, repaired = found(content), found("hash")
    redis._execute(commands)
    ann, bob = redis.read([ANN, BOB], ["spend/service"], [], 1_000).subjects
    assert (ann.permission, bob.permission) == (None, allowing())
    assert bob.fields == [field(1).value]
    assert found(content) > before
    assert redis.write([field(2), field(2, subject=BOB)], NOW_MS) == [WriteOutcome.NOT_ALLOWED, WriteOutcome.DONE]
    results = redis.publish_permissions({ANN: allowing(sequence=2), BOB: allowing(sequence=2)}, NOW_MS)
    assert [results[ANN].recreated, results[BOB].recreated] == [True, False]
    assert found("hash") > repaired
    assert redis.read([ANN], [], [], 1_000).subjects[0].recreation_mark is not None, "its values are pushed again"
    assert stored(redis)[0] == allowing(sequence=2)
    assert not redis.publish_permissions({ANN: allowing(sequence=3, since_ms=NOW_MS + 1)}, NOW_MS)[ANN].recreated


def test_value_without_a_header_is_replaced_or_pushed_again(redis: RedisStore) -> None:
    redis._execute([("HSET", KEY, "spend/service", "short", "habits/service", "short", "x", "foreign")])
    assert redis.write([field(1)], NOW_MS) == [WriteOutcome.DONE]
    assert redis.publish_permissions({ANN: allowing(sequence=2)}, NOW_MS)[ANN].recreated
    ann = redis.read([ANN], ["spend/service", "habits/service", "x"], [], 1_000).subjects[0]
    assert ann.fields == [field(1).value, None, None]
    assert ann.recreation_mark is not None


def test_unreadable_mark_counts_as_open_since_ever(redis: RedisStore) -> None:
    redis._execute([("HSET", KEY, "r", "text")])
    assert redis.read([ANN], [], [], 1_000).subjects[0].recreated_ms == 0
    assert redis.publish_permissions({ANN: allowing(sequence=2)}, NOW_MS)[ANN].recreated
    assert redis.read([ANN], [], [], 1_000).subjects[0].recreated_ms == NOW_MS


def test_purge_of_a_damaged_subject_drops_its_values_alone(redis: RedisStore) -> None:
    redis._execute([("HSET", KEY, "p", "text")])
    redis.drop_disallowed({ANN: None, BOB: None})
    assert stored(redis) == (None, [None])
    assert stored(redis, BOB) == (allowing(), [field(1).value])


def test_unreadable_keys_of_a_node_count_as_absent(redis: RedisStore) -> None:
    watermark = Watermark(1, 7, NOW_MS, {5: 6}, "run:1")
    names = [("orders", 1), ("orders", 2)]
    for source, partition in names:
        assert redis.advance_watermark(source, partition, watermark)
    for key in (redis.claim_key, redis.highest_key):
        redis._execute([("SET", key, "text")])
    redis._execute([("HSET", redis.watermarks_key, "orders/1", "text")])
    assert redis.read([ANN], [], names, 1_000).nodes[0].watermarks == [None, watermark]
    assert redis.advance_watermark("orders", 1, watermark)
    assert redis.vouching_record()[:2] == (None, None)
    vouch(redis)
    newer = Permission(1, 5, {"service": PurposePermission(True, 1, 5)}, 50)
    assert redis.publish_permissions({ANN: newer})[ANN].highest_before is None
    assert redis.vouching_record().highest == (1, 5, 50)
