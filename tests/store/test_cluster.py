"""The store on a Redis Cluster whose primaries go away, come back and give slots away."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlparse

import msgspec
import pytest

from devservers.redis_cluster import RedisCluster, ask
from devservers.redis_server import RedisServer
from devservers.server import running
from devservers.waiting import eventually
from featurestore.definitions import FeatureService
from featurestore.permission import Denial, Permission, PurposePermission
from featurestore.serving.reader import FeatureReader
from featurestore.store.cluster import ClusterStore
from featurestore.store.connection import Connection
from featurestore.store.protocol import FieldWrite, PublishResult, Run, StoreUnavailable, WriteOutcome
from featurestore.store.redis import RedisNode, RedisStore, subject_key
from featurestore.store.server import Server
from featurestore.store.slots import slot_of
from featurestore.tiles.stored_field import pack_field
from tests.kit.purchases import spend

SERVICE = FeatureService("chat", [spend], purpose="service")
NOW_MS = 1_800_000_000_000
SUBJECTS = [f"{i:032x}" for i in range(60)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """One to be broken."""
    with running(RedisCluster(tmp_path)) as made:
        yield made


def allowing(sequence: int = 1) -> Permission:
    return Permission(1, sequence, {"service": PurposePermission(True, 1, 5)})


def refusing(sequence: int = 2) -> Permission:
    return Permission(1, sequence, {"service": PurposePermission(False, 1, 5)})


def field(subject: str, offset: int = 1) -> FieldWrite:
    return FieldWrite(subject, "spend/service", "service", pack_field(1, offset, 1, b"values"))


def vouch(store: ClusterStore) -> None:
    """As the vouchers of all nodes do that have nothing to put."""
    for node in store.nodes():
        assert node.write_claim(node.run(), 1, 1)
        assert node.vouch(node.run(), 600_000)


def filled(url: str, timeout_ms: int = 2_000) -> ClusterStore:
    """A store in which everybody allows and has a value."""
    store = ClusterStore(url, timeout_ms)
    for node in store.nodes():
        node._execute([("FLUSHALL",)])
    vouch(store)
    store.publish_permissions({subject: allowing() for subject in SUBJECTS})
    assert set(store.write([field(subject) for subject in SUBJECTS], NOW_MS)) == {WriteOutcome.DONE}
    return store


def served(store: ClusterStore, subjects: list[str] = SUBJECTS, timeout_ms: int = 2_000) -> list[str]:
    """Those whose value a reader would get."""
    reading = store.read(subjects, ["spend/service"], [], timeout_ms)
    found = zip(subjects, reading.subjects, strict=True)
    return [subject for subject, there in found if there.vouched and there.permission and there.fields[0]]


def of(node: RedisNode) -> list[str]:
    return [subject for subject in SUBJECTS if node.owns(subject)]


def server_of(cluster: RedisCluster, node: RedisNode) -> RedisServer:
    return next(server for server in cluster.servers if node.name.endswith(f":{server.port}"))


def test_a_batch_is_one_round_trip_to_each_node_of_its_subjects(
    redis_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(redis_cluster)
    trips: list[str] = []
    send, receive = Connection.send, Connection.receive
    monkeypatch.setattr(Connection, "send", lambda *a: (trips.append("send"), send(*a))[1])
    monkeypatch.setattr(Connection, "receive", lambda *a: (trips.append("receive"), receive(*a))[1])
    assert served(store) == SUBJECTS
    assert trips == ["send"] * 3 + ["receive"] * 3
    trips.clear()
    assert served(store, SUBJECTS[:1]) == SUBJECTS[:1]
    assert trips == ["send", "receive"]


def test_a_database_other_than_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="a cluster has only database 0, not 1"):
        ClusterStore("redis+cluster://127.0.0.1:6379/1", 500)


def test_a_server_that_is_in_no_cluster_is_an_error_that_says_so(redis_server: str) -> None:
    with pytest.raises(StoreUnavailable, match="store_url names no cluster: ERR This instance has cluster support dis"):
        ClusterStore(redis_server.replace("redis://", "redis+cluster://"), 500).read(SUBJECTS, [], [], 500)


def test_a_cluster_that_is_taken_for_one_server_is_an_error_that_says_so(redis_cluster: str) -> None:
    (node, *_) = ClusterStore(redis_cluster, 500).nodes()
    elsewhere = next(subject for subject in SUBJECTS if not node.owns(subject))
    with pytest.raises(StoreUnavailable, match=r"a cluster's store_url begins with redis\+cluster://"):
        RedisStore(f"redis://{node.name}/", 500).publish_permissions({elsewhere: allowing()})


def test_a_password_is_told_to_every_node(cluster: RedisCluster) -> None:
    for server in cluster.servers:
        ask(server, "CONFIG SET", "masterauth", "secret", "requirepass", "secret")
    assert served(filled(cluster.url.replace("://", "://default:secret@"))) == SUBJECTS
    with pytest.raises(StoreUnavailable, match="NOAUTH"):
        ClusterStore(cluster.url, 500).read(SUBJECTS, [], [], 500)


@pytest.mark.parametrize("host", ["10.0.0.2", "redis-2.internal", "2001:db8::2"])
def test_another_server_of_a_cluster_is_reached_as_the_first(host: str) -> None:
    beside = urlparse(Server("rediss://app:p%40ss@redis-1.internal:6379/").peer_url(f"{host}:6380"))
    assert (beside.scheme, beside.username, beside.password) == ("rediss", "app", "p%40ss")
    assert (beside.hostname, beside.port) == (host, 6380)


def test_a_cluster_nobody_of_which_answers_is_away() -> None:
    with pytest.raises(StoreUnavailable, match="not reachable"):
        ClusterStore("redis+cluster://127.0.0.1:1,127.0.0.1:2/", 500).read(SUBJECTS, [], [], 500)


def test_with_one_node_away_the_others_subjects_are_answered(cluster: RedisCluster) -> None:
    store = filled(cluster.url)
    gone, *_ = store.nodes()
    for server in cluster.servers[3:]:
        server.kill()  # nobody takes over
    server_of(cluster, gone).kill()
    lost = of(gone)
    left = [subject for subject in SUBJECTS if subject not in lost]
    assert served(store) == left
    answers = FeatureReader(store, 8).read(SERVICE, "service", SUBJECTS, now_ms=NOW_MS, timeout_ms=2_000)
    reasons = {subject: answer.views["spend"].reason for subject, answer in zip(SUBJECTS, answers, strict=True)}
    assert [subject for subject in SUBJECTS if reasons[subject] == Denial.UNVOUCHED] == lost
    with pytest.raises(StoreUnavailable):
        served(store, lost)
    puts = store.publish_permissions({subject: refusing() for subject in SUBJECTS})
    assert puts == dict.fromkeys(left, PublishResult(vouched=True, superseded=False))
    with pytest.raises(StoreUnavailable):
        store.write([field(subject) for subject in SUBJECTS], NOW_MS)
    with pytest.raises(StoreUnavailable):
        store.sweep(SUBJECTS)


@pytest.mark.parametrize("hangs", [False, True], ids=["killed", "hanging"])
def test_a_promoted_replica_is_found_and_denies_until_it_is_vouched_for(cluster: RedisCluster, hangs: bool) -> None:
    store = filled(cluster.url, 250)
    gone, *_ = store.nodes()
    lost, left, server = of(gone), [subject for subject in SUBJECTS if not gone.owns(subject)], server_of(cluster, gone)
    if hangs:
        assert server.process
        os.kill(server.process.pid, signal.SIGSTOP)
    else:
        server.kill()

    def promoted() -> bool:
        assert served(store, left, 250) == left, "the others go on"
        try:
            return served(store, lost, 250) == []
        except StoreUnavailable:
            return False

    eventually(promoted, "the replica is found")
    vouch(store)
    assert served(store) == SUBJECTS
    if hangs:
        os.kill(server.process.pid, signal.SIGCONT)
    else:
        server.start()
    eventually(lambda: ask(server, "ROLE")[0] == "slave", "the old primary is a replica")
    assert served(store) == SUBJECTS


def test_a_slot_on_its_way_to_another_node_is_denied_until_it_is_vouched_for_there(cluster: RedisCluster) -> None:
    store = filled(cluster.url)
    giver, taker, _ = store.nodes()
    moving, *staying = of(giver)
    new = next(name for name in (f"{i:032x}" for i in range(10**6)) if slot_of(name) == slot_of(moving))
    slot, (gives, takes) = slot_of(moving), (server_of(cluster, node) for node in (giver, taker))
    ids = {server.port: ask(server, "CLUSTER MYID") for server in (gives, takes)}
    ask(takes, f"CLUSTER SETSLOT {slot} IMPORTING", ids[gives.port])
    ask(gives, f"CLUSTER SETSLOT {slot} MIGRATING", ids[takes.port])
    assert served(store, [moving]) == [moving], "it is still here"
    ask(gives, "MIGRATE 127.0.0.1", takes.port, subject_key(moving), 0, 5000)

    assert served(store, [moving, *staying]) == staying
    assert served(store, [moving]) == []
    assert not store.read([moving, *staying], [], [], 2_000).vouched, "to the streams it is unknown, not denied"
    puts = store.publish_permissions({moving: allowing(3), new: allowing(3)})
    assert puts.keys() == {moving, new}, "they are put where they are"
    assert store.write([field(moving, 2), field(staying[0], 2)], NOW_MS) == [WriteOutcome.DONE] * 2

    for server in (takes, gives):
        ask(server, f"CLUSTER SETSLOT {slot} NODE", ids[takes.port])
    assert store.write([field(moving, 3)], NOW_MS) == [WriteOutcome.DONE], "it is followed there"
    assert served(store, of(giver)) == [], "both nodes have other slots than those that were vouched for"
    assert not {node.slots for node in store.nodes()} & {giver.slots, taker.slots}
    vouch(store)
    assert served(store) == SUBJECTS
    there = store.read([moving, new], ["spend/service"], [], 2_000).subjects
    assert [stored.permission for stored in there] == [allowing(3)] * 2
    assert there[0].fields == [field(moving, 3).value]


def test_a_claim_that_came_with_a_slot_is_not_the_node_s(redis_cluster: str) -> None:
    """What it says of its node's other subjects is not true of those here."""
    giver, taker, _ = filled(redis_cluster).nodes()
    mine = msgspec.msgpack.decode(giver._execute([("GET", giver.claim_key)])[0])
    assert giver.read_claim() == (Run(mine[0], mine[1], giver.slots), 1, 1)
    for theirs in (mine, [*mine[:5], taker.slots]):  # the second: all its slots came, and then some left again
        taker._execute([("SET", taker.claim_key, msgspec.msgpack.encode(theirs))])
        assert taker.read_claim() is None


def test_threads_ask_side_by_side(redis_cluster: str) -> None:
    store = filled(redis_cluster)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: served(store, SUBJECTS[n % 7 :: 7]), range(200)))
    assert all(answer == SUBJECTS[n % 7 :: 7] for n, answer in enumerate(answers))


def test_a_reader_that_gives_up_leaves_no_answer_behind(redis_cluster: str) -> None:
    """Answers that nobody took must not be the next question's."""
    store = filled(redis_cluster)
    node = store.nodes()[0]
    call = node.read_call(of(node), ["another/service"], [], time.monotonic() + 1)
    next(call)  # the question is sent
    call.close()
    assert served(store) == SUBJECTS
