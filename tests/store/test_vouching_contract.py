"""Contract of the nodes of every backend: claims, vouch keys, the highest change and the latch."""

from featurestore.permission import Permission, PurposePermission
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import (
    NO_LEASE,
    LeaseFence,
    OnlineStore,
    StoredChange,
    VouchingRecord,
    new_incarnation,
)
from featurestore.store.redis import RedisNode, RedisStore
from tests.kit.stores import begin_incarnation, claim, vouch

ANN, BOB = "a" * 32, "b" * 32


def permission(allowed: bool, sequence: int, epoch: int = 1, token: int = 0) -> Permission:
    return Permission(epoch, sequence, {"service": PurposePermission(allowed, 1, 5)}, token)


def vouched(store: OnlineStore) -> bool:
    return store.read([ANN, BOB], [], [], 1_000).vouched


def fill(store: OnlineStore) -> list[str]:
    """The new incarnations of nodes to which every permission has just been published."""
    for node in store.nodes():
        begin_incarnation(node)
        vouch(node, 1, 5, 5_000)
    return incarnations(store)


def incarnations(store: OnlineStore) -> list[str]:
    return [state.incarnation for state in store.read([], [], [], 1_000).nodes]


def flush(store: OnlineStore) -> None:
    """Empty the store: no run changes by that."""
    for node in store.nodes():
        if isinstance(node, MemoryStore):
            node.restart(emptied=True)
            node._runs -= 1
        else:
            assert isinstance(node, RedisNode)
            node._execute([("FLUSHALL",)])


def test_the_vouch_key_names_the_store_incarnation(store: OnlineStore) -> None:
    first = fill(store)
    for node in store.nodes():
        vouch(node, 1, 6)  # same incarnation
    assert incarnations(store) == first
    assert not set(fill(store)) & set(first)


def test_a_new_incarnation_ends_the_vouching_for_the_last_one(store: OnlineStore) -> None:
    first = fill(store)
    for node in store.nodes():
        begin_incarnation(node)
    assert not any(incarnations(store))
    for node in store.nodes():
        vouch(node)
    assert not set(incarnations(store)) & {"", *first}


def test_an_emptied_store_refuses_a_claim_and_a_vouch_for_the_earlier_one(store: OnlineStore) -> None:
    """FLUSHALL changes no run: a verifier that did not notice must not claim an empty store."""
    first = fill(store)
    claims = {node: node.vouching_record().claim for node in store.nodes()}
    flush(store)
    for node, found in claims.items():
        assert found
        assert not node.write_claim(found._replace(sequence=6), found)
        assert not node.vouch(found, node.now_ms() + 5_000)
        assert node.vouching_record() == VouchingRecord(None, None, 0, None)
    assert not set(fill(store)) & {"", *first}


def test_a_claim_replaces_the_expected_one_only(store: OnlineStore) -> None:
    for node in store.nodes():
        first = claim(node, 1, 1)
        assert not node.write_claim(first._replace(sequence=2), None)
        assert not node.write_claim(first._replace(sequence=3), first._replace(sequence=2))
        assert not node.write_claim(first._replace(sequence=3), first._replace(started="another"))
        assert node.vouching_record().claim == first
        assert node.write_claim(first._replace(sequence=2), first)
        assert not node.vouch(first, node.now_ms() + 5_000), "the claim is another by now"
        assert node.vouching_record().claim == first._replace(sequence=2)


def test_a_run_without_a_store_claim_is_not_vouched_for(store: OnlineStore) -> None:
    for node in store.nodes():
        begun = new_incarnation(node.run())
        assert not node.vouch(begun, node.now_ms() + 5_000)
        assert node.vouching_record().claim is None
        assert node.write_claim(begun, None)
        assert not node.vouch(begun, node.now_ms() + 5_000), "a new incarnation is not filled yet"
    assert not vouched(store)
    for node in store.nodes():
        vouch(node, 1, 42, 5_000)
        found = node.vouching_record().claim
        assert found
        assert found[:3] == (node.run(), 1, 42)
    assert vouched(store)
    results = store.publish_permissions({ANN: permission(True, 1), BOB: permission(False, 2)})
    assert [(result.vouched, result.superseded) for result in results.values()] == [(True, False)] * 2


def test_a_claim_or_vouch_of_another_run_is_refused(store: OnlineStore) -> None:
    for node in store.nodes():
        run, mine = node.run(), claim(node, 1, 1)
        for other in (run._replace(run_id="0" * 40), run._replace(replication_id="0" * 40)):
            assert not node.write_claim(mine._replace(run=other), mine)
            assert not node.vouch(mine._replace(run=other), node.now_ms() + 5_000)
    assert not vouched(store)


def test_a_vouch_executed_after_its_expiry_has_no_effect(redis_server: str) -> None:
    store = RedisStore(redis_server, 2_000)
    store.vouch(claim(store, 1, 1), store.now_ms() - 1)  # a stopped server that goes on after the expiry
    assert not vouched(store)


def test_only_a_later_lease_replaces_the_lease_of_a_claim(store: OnlineStore) -> None:
    for node in store.nodes():
        first = new_incarnation(node.run(), LeaseFence(5, 2, "one"))._replace(epoch=5)
        assert node.write_claim(first, None)
        for earlier in (LeaseFence(5, 1, "zero"), LeaseFence(5, 2, "another"), LeaseFence(4, 9, "other"), NO_LEASE):
            assert not node.write_claim(first._replace(lease=earlier), first)
        assert node.vouch(first, node.now_ms() + 60_000)
        assert node.vouching_record().vouched_under == LeaseFence(5, 2, "one")
        later = first = first._replace(renewals=1)
        for lease in (LeaseFence(5, 3, "two"), LeaseFence(6, 1, "two")):
            earlier_claim, later = later, later._replace(lease=lease)
            assert node.write_claim(later, earlier_claim)
        assert not node.vouch(first, node.now_ms() + 60_000), "the earlier holder vouches no more"
        before = incarnations(store)
        assert node.vouch(later, node.now_ms() + 60_000)
        assert incarnations(store) == before, "another holder is no new incarnation"
        assert node.vouching_record().vouched_under == LeaseFence(6, 1, "two")


def test_a_latched_node_is_vouched_for_under_a_later_epoch_only(store: OnlineStore) -> None:
    for node in store.nodes():
        under = [new_incarnation(node.run(), LeaseFence(epoch, 1, "one"))._replace(epoch=epoch) for epoch in (4, 5, 6)]
        assert node.write_claim(under[1], None)
        assert node.vouch(under[1], node.now_ms() + 60_000)
        node.latch(5)
        node.latch(3)
        record = node.vouching_record()
        assert (record.latched_epoch, record.vouched_under) == (5, None)
        renewed = under[1]._replace(renewals=1)
        assert not node.vouch(renewed, node.now_ms() + 60_000)
        assert node.write_claim(under[2], renewed)
        assert node.vouch(under[2], node.now_ms() + 60_000)
        node.latch(5)  # by a process that learnt of it late
        assert node.vouching_record().vouched_under == LeaseFence(6, 1, "one")
    assert vouched(store)


def test_highest_change_is_kept_with_the_token_that_came_first(store: OnlineStore) -> None:
    def highest() -> StoredChange | None:
        return max((node.vouching_record().highest for node in store.nodes()), key=lambda change: change or ())

    assert {node.vouching_record().highest for node in store.nodes()} == {None}
    store.publish_permissions({ANN: permission(True, 7, token=70), BOB: permission(False, 9, token=90)})
    assert highest() == StoredChange(1, 9, 90)
    result = store.publish_permissions({BOB: permission(False, 8, token=80)})[BOB]
    assert (result.superseded, result.highest_before) == (True, StoredChange(1, 9, 90))
    store.publish_permissions({BOB: permission(True, 9, token=91)})
    assert highest() == StoredChange(1, 9, 90)
    store.publish_permissions({BOB: permission(True, 2**52, token=2**52)})
    assert highest() == StoredChange(1, 2**52, 2**52)
    store.publish_permissions({BOB: permission(False, 1, epoch=2)})
    assert highest() == StoredChange(2, 1, 0)


def test_each_vouch_is_counted_in_the_claim(store: OnlineStore) -> None:
    for node in store.nodes():
        first = claim(node, 1, 1)
        for renewals in range(3):
            found = node.vouching_record().claim
            assert found == first._replace(renewals=renewals)
            assert not node.vouch(first._replace(renewals=renewals + 1), node.now_ms() + 5_000)
            assert node.vouch(found, node.now_ms() + 5_000)
        taken = found._replace(renewals=3, lease=LeaseFence(1, 2, "two"))
        assert node.write_claim(taken, node.vouching_record().claim)
        assert node.write_claim(new_incarnation(node.run(), taken.lease), taken)
        assert node.vouching_record().claim.renewals == 0
