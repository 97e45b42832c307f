"""Store on a Redis Cluster: failing and returning primaries, migrating slots."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from devservers.redis_cluster import RedisCluster, execute
from devservers.redis_server import RedisServer
from devservers.server import running
from devservers.waiting import eventually
from featurestore.definitions import FeatureService
from featurestore.permission import Denial, Permission, PurposePermission
from featurestore.servers.redis_url import parse_redis_url
from featurestore.servers.tls import Tls
from featurestore.serving.reader import FeatureReader
from featurestore.store.cluster import ClusterStore
from featurestore.store.connection import Connection
from featurestore.store.protocol import FieldWrite, Run, StoreUnavailable, WriteOutcome
from featurestore.store.redis import RedisNode, RedisStore, subject_key
from featurestore.store.server import Server
from featurestore.store.slots import slot_of
from featurestore.tiles.stored_field import pack_field
from tests.kit.purchases import spend
from tests.kit.stores import begin_incarnation, vouch

SERVICE = FeatureService("chat", [spend], purpose="service")
NOW_MS = 1_800_000_000_000
SUBJECTS = [f"{i:032x}" for i in range(60)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """A cluster that a test may break."""
    with running(RedisCluster(tmp_path)) as made:
        yield made


def allowing(sequence: int = 1) -> Permission:
    return Permission(1, sequence, {"service": PurposePermission(True, 1, 5)})


def refusing(sequence: int = 2) -> Permission:
    return Permission(1, sequence, {"service": PurposePermission(False, 1, 5)})


def field(subject: str, offset: int = 1) -> FieldWrite:
    return FieldWrite(subject, "spend/service", "service", pack_field(1, offset, 1, b"values"))


def vouch_for_all(store: ClusterStore) -> None:
    """What the node verifiers do when every permission is published."""
    for node in store.nodes():
        vouch(node, 1, 1)


def filled_store(url: str, timeout_ms: int = 2_000) -> ClusterStore:
    """A store in which every subject allows and has a value."""
    store = ClusterStore(url, timeout_ms)
    for node in store.nodes():
        node._execute([("FLUSHALL",)])
    vouch_for_all(store)
    store.publish_permissions({subject: allowing() for subject in SUBJECTS})
    assert set(store.write([field(subject) for subject in SUBJECTS], NOW_MS)) == {WriteOutcome.DONE}
    return store


def readable(store: ClusterStore, subjects: list[str] = SUBJECTS, timeout_ms: int = 2_000) -> list[str]:
    """The subjects whose value a reader would get."""
    result = store.read(subjects, ["spend/service"], [], timeout_ms)
    found = zip(subjects, result.subjects, strict=True)
    return [subject for subject, stored in found if stored.vouched and stored.permission and stored.fields[0]]


def subjects_of(node: RedisNode) -> list[str]:
    return [subject for subject in SUBJECTS if node.owns(subject)]


def server_of(cluster: RedisCluster, node: RedisNode) -> RedisServer:
    return next(server for server in cluster.servers if node.name.endswith(f":{server.port}"))


def test_a_batch_read_is_one_round_trip_a_node(redis_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled_store(redis_cluster)
    trips: list[str] = []
    send, receive = Connection.send, Connection.receive
    monkeypatch.setattr(Connection, "send", lambda *a: (trips.append("send"), send(*a))[1])
    monkeypatch.setattr(Connection, "receive", lambda *a: (trips.append("receive"), receive(*a))[1])
    assert readable(store) == SUBJECTS
    assert trips == ["send"] * 3 + ["receive"] * 3
    trips.clear()
    assert readable(store, SUBJECTS[:1]) == SUBJECTS[:1]
    assert trips == ["send", "receive"]


def test_a_database_other_than_0_is_refused() -> None:
    with pytest.raises(ValueError, match="names database 1: a cluster has only database 0"):
        ClusterStore("redis+cluster://127.0.0.1:6379/1", 500)


def test_the_error_names_a_server_without_cluster_support(redis_server: str) -> None:
    with pytest.raises(StoreUnavailable, match="store_url names no cluster: ERR This instance has cluster support dis"):
        ClusterStore(redis_server.replace("redis://", "redis+cluster://"), 500).read(SUBJECTS, [], [], 500)


def test_the_error_names_a_cluster_taken_for_a_single_server(redis_cluster: str) -> None:
    (node, *_) = ClusterStore(redis_cluster, 500).nodes()
    elsewhere = next(subject for subject in SUBJECTS if not node.owns(subject))
    with pytest.raises(StoreUnavailable, match=r"a cluster's store_url begins with redis\+cluster://"):
        RedisStore(f"redis://{node.name}/", 500).publish_permissions({elsewhere: allowing()})


def test_every_node_is_sent_the_password(cluster: RedisCluster) -> None:
    for server in cluster.servers:
        execute(server, "CONFIG SET", "masterauth", "secret", "requirepass", "secret")
    assert readable(filled_store(cluster.url.replace("://", "://default:secret@"))) == SUBJECTS
    with pytest.raises(StoreUnavailable, match="NOAUTH"):
        ClusterStore(cluster.url, 500).read(SUBJECTS, [], [], 500)


@pytest.mark.parametrize("host", ["10.0.0.2", "redis-2.internal", "2001:db8::2"])
def test_a_peer_url_keeps_scheme_and_credentials(host: str) -> None:
    url = parse_redis_url("rediss+cluster://app:p%40ss@redis-1.internal:6379/?ssl_ca_certs=/ca.pem")
    beside = Server(url.server_at(url.hosts[0])).peer_url(f"{host}:6380")
    assert (beside.username, beside.password, beside.hosts) == ("app", "p@ss", ((host, 6380),))
    assert beside.tls == Tls("/ca.pem")


def test_a_cluster_without_a_reachable_seed_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="not reachable"):
        ClusterStore("redis+cluster://127.0.0.1:1,127.0.0.1:2/", 500).read(SUBJECTS, [], [], 500)


def test_other_nodes_answer_while_one_is_unreachable(cluster: RedisCluster) -> None:
    store = filled_store(cluster.url)
    gone, *_ = store.nodes()
    for server in cluster.servers[3:]:
        server.kill()  # no replica is promoted
    server_of(cluster, gone).kill()
    lost = subjects_of(gone)
    left = [subject for subject in SUBJECTS if subject not in lost]
    assert readable(store) == left
    answers = FeatureReader(store, 8).read(SERVICE, "service", SUBJECTS, now_ms=NOW_MS, timeout_ms=2_000)
    reasons = {subject: answer.views["spend"].reason for subject, answer in zip(SUBJECTS, answers, strict=True)}
    assert [subject for subject in SUBJECTS if reasons[subject] == Denial.UNVOUCHED] == lost
    with pytest.raises(StoreUnavailable):
        readable(store, lost)
    results = store.publish_permissions({subject: refusing() for subject in SUBJECTS})
    assert {subject: result[:2] for subject, result in results.items()} == dict.fromkeys(left, (True, False))
    with pytest.raises(StoreUnavailable):
        store.write([field(subject) for subject in SUBJECTS], NOW_MS)
    with pytest.raises(StoreUnavailable):
        store.drop_disallowed(dict.fromkeys(SUBJECTS))


@pytest.mark.parametrize("hangs", [False, True], ids=["killed", "hanging"])
def test_a_promoted_replica_denies_until_it_is_vouched_for(cluster: RedisCluster, hangs: bool) -> None:
    store = filled_store(cluster.url, 250)
    gone, *_ = store.nodes()
    lost, left, server = (
        subjects_of(gone),
        [subject for subject in SUBJECTS if not gone.owns(subject)],
        server_of(cluster, gone),
    )
    if hangs:
        assert server.process
        os.kill(server.process.pid, signal.SIGSTOP)
    else:
        server.kill()

    def promoted() -> bool:
        assert readable(store, left, 250) == left, "the other nodes answer"
        try:
            return readable(store, lost, 250) == []
        except StoreUnavailable:
            return False

    eventually(promoted, "the promoted replica is discovered")
    vouch_for_all(store)
    assert readable(store) == SUBJECTS
    if hangs:
        os.kill(server.process.pid, signal.SIGCONT)
    else:
        server.start()
    eventually(lambda: execute(server, "ROLE")[0] == "slave", "the old primary is a replica")
    assert readable(store) == SUBJECTS


def test_a_migrating_slot_is_denied_until_it_is_vouched_for(cluster: RedisCluster) -> None:
    store = filled_store(cluster.url)
    source_node, target_node, _ = store.nodes()
    moving, *staying = subjects_of(source_node)
    new = next(name for name in (f"{i:032x}" for i in range(10**6)) if slot_of(name) == slot_of(moving))
    slot, (source, target) = slot_of(moving), (server_of(cluster, node) for node in (source_node, target_node))
    ids = {server.port: execute(server, "CLUSTER MYID") for server in (source, target)}
    execute(target, f"CLUSTER SETSLOT {slot} IMPORTING", ids[source.port])
    execute(source, f"CLUSTER SETSLOT {slot} MIGRATING", ids[target.port])
    assert readable(store, [moving]) == [moving], "the key has not migrated yet"
    execute(source, "MIGRATE 127.0.0.1", target.port, subject_key(moving), 0, 5000)

    assert readable(store, [moving, *staying]) == staying
    assert readable(store, [moving]) == []
    assert not store.read([moving, *staying], [], [], 2_000).vouched, (
        "to the streams the permission is unknown, not denied"
    )
    results = store.publish_permissions({moving: allowing(3), new: allowing(3)})
    assert results.keys() == {moving, new}, "each is published where its key is"
    assert store.write([field(moving, 2), field(staying[0], 2)], NOW_MS) == [WriteOutcome.DONE] * 2

    for server in (target, source):
        execute(server, f"CLUSTER SETSLOT {slot} NODE", ids[target.port])
    assert store.write([field(moving, 3)], NOW_MS) == [WriteOutcome.DONE], "the moved slot is discovered"
    assert readable(store, subjects_of(source_node)) == [], "both nodes have other slots than those vouched for"
    assert not {node.slots for node in store.nodes()} & {source_node.slots, target_node.slots}
    vouch_for_all(store)
    assert readable(store) == SUBJECTS
    stored = store.read([moving, new], ["spend/service"], [], 2_000).subjects
    assert [subject.permission for subject in stored] == [allowing(3)] * 2
    assert stored[0].fields == [field(moving, 3).value]


def test_a_store_claim_migrated_with_a_slot_is_ignored(redis_cluster: str) -> None:
    """It covers the subjects of the node that it is from."""
    source_node, target_node, _ = filled_store(redis_cluster).nodes()
    mine = msgspec.msgpack.decode(source_node._execute([("GET", source_node.claim_key)])[0])
    found = source_node.vouching_record().claim
    assert found
    assert found[:3] == (Run(mine[0], mine[1], source_node.slots), 1, 1)
    for theirs in (
        mine,
        [*mine[:5], target_node.slots, *mine[6:]],
    ):  # the second: as if all its slots had come and some left again
        target_node._execute([("SET", target_node.claim_key, msgspec.msgpack.encode(theirs))])
        assert target_node.vouching_record().claim is None
        begin_incarnation(target_node)


def test_concurrent_reads_get_their_own_answers(redis_cluster: str) -> None:
    store = filled_store(redis_cluster)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: readable(store, SUBJECTS[n % 7 :: 7]), range(200)))
    assert all(answer == SUBJECTS[n % 7 :: 7] for n, answer in enumerate(answers))


def test_an_abandoned_read_leaves_no_replies_behind(redis_cluster: str) -> None:
    """Replies that were not received must not answer the next commands."""
    store = filled_store(redis_cluster)
    node = store.nodes()[0]
    call = node.read_call(subjects_of(node), ["another/service"], [], time.monotonic() + 1)
    next(call)  # the commands are sent
    call.close()
    assert readable(store) == SUBJECTS
