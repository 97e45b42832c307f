"""Consent on a real Redis Cluster: what readers are told while primaries die, change and come back with old data."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from devservers.redis_cluster import RedisCluster, execute
from devservers.redis_server import RedisServer
from devservers.server import running
from devservers.waiting import eventually
from featurestore.consent import services
from featurestore.consent.models import ChangeSequence, PermissionChange
from featurestore.consent.services import RecordedDecision
from featurestore.consent.vouching.store_verifier import StoreVerifier
from featurestore.permission import Denial, PurposePermission, decode
from featurestore.profiles.services import register
from featurestore.serving.guard import decide_access
from featurestore.store import configured
from featurestore.store.cluster import ClusterStore
from featurestore.store.protocol import Node, StoreUnavailable
from featurestore.store.redis import subject_key
from featurestore.store.slots import slot_of
from tests.kit.shop import Shop

EXPIRY_MS = 3000  # longer than a busy machine pauses
FAR_FUTURE_MS = 4_000_000_000_000
CUSTOMERS = [f"c{n}" for n in range(24)]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Live:
    """A shop on a real cluster, in real time, where everybody has said yes."""

    def __init__(self, cluster: RedisCluster, store: ClusterStore):
        self.cluster, self.store = cluster, store
        self.subjects = {name: register(name, "eu", "acme").customer.subject for name in CUSTOMERS}
        for name in CUSTOMERS:
            services.give(name, "service", notice="privacy/1/en", method="web", actor="shop")

    @contextmanager
    def vouching(self) -> Iterator[None]:
        """The voucher's process, as a thread."""
        stop = threading.Event()
        thread = threading.Thread(target=StoreVerifier(self.store, EXPIRY_MS, stop).run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def withdraw(self, name: str) -> RecordedDecision:
        return services.withdraw(name, "service", method="web", actor="shop")

    def read(self, name: str) -> PurposePermission | Denial | StoreUnavailable:
        try:
            (stored,) = self.store.read([self.subjects[name]], [], [], 500).subjects
        except StoreUnavailable as error:
            return error
        return decide_access(stored.permission, "service", vouched=stored.vouched, now_ms=FAR_FUTURE_MS)

    def served(self) -> list[str]:
        return [name for name in CUSTOMERS if isinstance(self.read(name), PurposePermission)]

    def until_served(self, names: list[str]) -> None:
        eventually(lambda: self.served() == names, "just these are served")

    def node_of(self, name: str) -> Node:
        return next(node for node in self.store.nodes() if node.owns(self.subjects[name]))

    def server_of(self, name: str) -> RedisServer:
        port = int(self.node_of(name).name.rpartition(":")[2])
        return next(server for server in self.cluster.servers if server.port == port)

    def replica_of(self, primary: RedisServer) -> RedisServer:
        port = execute(primary, "ROLE")[2][0][1]
        return next(server for server in self.cluster.servers if server.port == int(port))

    def old_grant_at(self, server: RedisServer, name: str) -> bool:
        """Whether a server, a replica or one just started, holds a permission that allows."""
        with Redis(port=server.port, socket_timeout=2) as client:
            client.config_set("cluster-allow-reads-when-down", "yes")
            client.execute_command("READONLY")
            raw = client.hget(subject_key(self.subjects[name]), "p")
        assert isinstance(raw, bytes)
        return decode(raw).purposes["service"].allowed

    def until_refused(self, name: str) -> None:
        """Wait until a customer is told no, never yes before."""

        def refused() -> bool:
            said = self.read(name)
            assert not isinstance(said, PurposePermission), "the old grant was served"
            return said is Denial.REFUSED

        eventually(refused, "the withdrawal is in effect")


@pytest.fixture
def live(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    ChangeSequence.objects.update(vouched_runs="")
    with running(RedisCluster(tmp_path / "cluster")) as cluster:
        store = ClusterStore(cluster.url, 500)
        monkeypatch.setattr(configured, "store", lambda: store)
        yield Live(cluster, store)


def test_a_dead_primary_stops_its_own_customers_until_its_replica_is_vouched_for(live: Live) -> None:
    with live.vouching():
        live.until_served(CUSTOMERS)
        one, *rest = CUSTOMERS
        node, primary = live.node_of(one), live.server_of(one)
        stopped = {name for name in CUSTOMERS if node.owns(live.subjects[name])}
        others = [name for name in CUSTOMERS if name not in stopped]
        primary.kill()
        decided = live.withdraw(one)
        assert not decided.effective
        assert live.withdraw(others[0]).effective, "other nodes' decisions go on"

        def back() -> bool:
            served = live.served()
            assert one not in served
            assert set(others[1:]) <= set(served), "the others are served all the time"
            return served == [name for name in rest if name != others[0]]

        eventually(back, "everybody else is served again")
        assert live.read(one) is live.read(others[0]) is Denial.REFUSED
        eventually(lambda: not PermissionChange.objects.filter(published_at=None).exists(), "every change is in effect")
        primary.start()
        eventually(lambda: execute(primary, "ROLE")[0] == "slave", "the old primary is a replica")
        assert live.served() == [name for name in rest if name != others[0]]
        assert len(ChangeSequence.objects.get().vouched_runs.split()) == 3, "of each primary's slots one run is known"


def test_through_a_fail_over_and_back_no_withdrawal_is_forgotten(live: Live) -> None:
    with live.vouching():
        live.until_served(CUSTOMERS)
        for name in CUSTOMERS[:2]:
            primary = live.server_of(name)
            replica = live.replica_of(primary)
            for follower in (replica, primary):
                execute(follower, "CLUSTER FAILOVER")
                live.withdraw(name)
                live.until_refused(name)
                eventually(lambda now=follower: execute(now, "ROLE")[0] == "master", "the replica took over")
                live.until_refused(name)
        live.until_served(CUSTOMERS[2:])


def test_a_promoted_replica_that_lags_never_serves_an_old_grant(live: Live) -> None:
    with live.vouching():
        live.until_served(CUSTOMERS)
        name = CUSTOMERS[0]
        primary = live.server_of(name)
        replica = live.replica_of(primary)
        execute(primary, "ACL SETUSER default", "-psync", "-sync")  # the replica can't follow any more
        execute(primary, "CLIENT KILL TYPE replica")
        assert live.withdraw(name).effective
        assert live.read(name) is Denial.REFUSED
        assert live.old_grant_at(replica, name), "it never heard of the withdrawal"
        primary.kill()
        live.until_refused(name)
        assert live.server_of(name) is replica
        live.until_served(CUSTOMERS[1:])


def restore_an_old_dump(live: Live, name: str) -> RedisServer:
    """Of a customer who withdraws: the primary comes back from a dump that was made before."""
    primary = live.server_of(name)
    replica = live.replica_of(primary)
    execute(primary, "SAVE")
    dump = primary.folder / "dump.rdb"
    kept = shutil.copy(dump, primary.folder / "kept.rdb")
    assert live.withdraw(name).effective
    assert live.read(name) is Denial.REFUSED
    replica.kill()
    primary.kill()
    shutil.copy(kept, dump)
    primary.start()
    assert live.old_grant_at(primary, name), "the dump knows nothing of the withdrawal"
    return primary


def test_a_primary_restored_from_a_dump_never_serves_an_old_grant(live: Live) -> None:
    with live.vouching():
        live.until_served(CUSTOMERS)
        name = CUSTOMERS[0]
        restore_an_old_dump(live, name)
        live.until_refused(name)
        live.until_served(CUSTOMERS[1:])


def test_an_old_grant_that_moves_to_a_node_which_is_vouched_for_is_not_served_there(live: Live) -> None:
    name = CUSTOMERS[0]
    with live.vouching():
        live.until_served(CUSTOMERS)
        primary = restore_an_old_dump(live, name)
    eventually(lambda: "cluster_state:ok" in execute(primary, "CLUSTER INFO"), "the others take the primary back")
    taker = next(node for node in live.store.nodes() if not node.owns(live.subjects[name]))
    assert taker.vouch(taker.run(), 60_000)
    target = next(server for server in live.cluster.servers if taker.name.endswith(f":{server.port}"))
    subject = live.subjects[name]
    slot, ids = slot_of(subject), {server.port: execute(server, "CLUSTER MYID") for server in (primary, target)}
    execute(target, f"CLUSTER SETSLOT {slot} IMPORTING", ids[primary.port])
    execute(primary, f"CLUSTER SETSLOT {slot} MIGRATING", ids[target.port])
    execute(primary, "MIGRATE 127.0.0.1", target.port, subject_key(subject), 0, 5000)
    assert live.read(name) is Denial.UNVOUCHED
    for server in (target, primary):
        execute(server, f"CLUSTER SETSLOT {slot} NODE", ids[target.port])
    assert live.read(name) is Denial.UNVOUCHED
    assert live.old_grant_at(target, name)
    with live.vouching():
        live.until_refused(name)
        live.until_served(CUSTOMERS[1:])
