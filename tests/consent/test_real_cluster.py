"""Consent on a real Redis Cluster: answers while primaries die, change and return with old data."""

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
from featurestore.consent.models import PermissionChange
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
from tests.kit.stores import record_vouched_runs, vouched_runs

EXPIRY_MS = 3000  # longer than a busy machine pauses
FAR_FUTURE_MS = 4_000_000_000_000
CUSTOMERS = [f"c{n}" for n in range(24)]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class ClusterEnvironment:
    """Customers who all consent, on a real cluster, in real time."""

    def __init__(self, cluster: RedisCluster, store: ClusterStore):
        self.cluster, self.store = cluster, store
        self.subjects = {name: register(name, "eu", "acme").customer.subject for name in CUSTOMERS}
        for name in CUSTOMERS:
            services.give(name, "service", notice="privacy/1/en", method="web", actor="shop")

    @contextmanager
    def vouching(self) -> Iterator[None]:
        """Run the store verifier in a thread."""
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
        eventually(lambda: self.served() == names, "exactly these are served")

    def node_of(self, name: str) -> Node:
        return next(node for node in self.store.nodes() if node.owns(self.subjects[name]))

    def server_of(self, name: str) -> RedisServer:
        port = int(self.node_of(name).name.rpartition(":")[2])
        return next(server for server in self.cluster.servers if server.port == port)

    def replica_of(self, primary: RedisServer) -> RedisServer:
        port = execute(primary, "ROLE")[2][0][1]
        return next(server for server in self.cluster.servers if server.port == int(port))

    def holds_old_grant(self, server: RedisServer, name: str) -> bool:
        """Whether a server (replica or not) still holds the permission that allows."""
        with Redis(port=server.port, socket_timeout=2) as client:
            client.config_set("cluster-allow-reads-when-down", "yes")
            client.execute_command("READONLY")
            raw = client.hget(subject_key(self.subjects[name]), "p")
        assert isinstance(raw, bytes)
        return decode(raw).purposes["service"].allowed

    def until_refused(self, name: str) -> None:
        """Wait until a customer's reads are refused; none is answered before."""

        def refused() -> bool:
            result = self.read(name)
            assert not isinstance(result, PurposePermission), "the old grant was served"
            return result is Denial.REFUSED

        eventually(refused, "the withdrawal is in effect")


@pytest.fixture
def env(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterEnvironment]:
    record_vouched_runs()
    with running(RedisCluster(tmp_path / "cluster")) as cluster:
        store = ClusterStore(cluster.url, 500)
        monkeypatch.setattr(configured, "store", lambda: store)
        yield ClusterEnvironment(cluster, store)


def test_dead_primary_denies_only_its_customers_until_failover(env: ClusterEnvironment) -> None:
    with env.vouching():
        env.until_served(CUSTOMERS)
        one, *rest = CUSTOMERS
        node, primary = env.node_of(one), env.server_of(one)
        stopped = {name for name in CUSTOMERS if node.owns(env.subjects[name])}
        others = [name for name in CUSTOMERS if name not in stopped]
        primary.kill()
        decided = env.withdraw(one)
        assert not decided.effective
        assert env.withdraw(others[0]).effective, "decisions on other nodes are effective"

        def back() -> bool:
            served = env.served()
            assert one not in served
            assert set(others[1:]) <= set(served), "the others are always served"
            return served == [name for name in rest if name != others[0]]

        eventually(back, "every other customer is served again")
        assert env.read(one) is env.read(others[0]) is Denial.REFUSED
        eventually(lambda: not PermissionChange.objects.filter(published_at=None).exists(), "every change is in effect")
        primary.start()
        eventually(lambda: execute(primary, "ROLE")[0] == "slave", "the old primary is a replica")
        assert env.served() == [name for name in rest if name != others[0]]
        assert len(vouched_runs()) == 3, "one run is recorded for each primary's slots"


def test_withdrawal_survives_a_failover_and_back(env: ClusterEnvironment) -> None:
    with env.vouching():
        env.until_served(CUSTOMERS)
        for name in CUSTOMERS[:2]:
            primary = env.server_of(name)
            replica = env.replica_of(primary)
            for follower in (replica, primary):
                execute(follower, "CLUSTER FAILOVER")
                env.withdraw(name)
                env.until_refused(name)
                eventually(lambda now=follower: execute(now, "ROLE")[0] == "master", "the replica took over")
                env.until_refused(name)
        env.until_served(CUSTOMERS[2:])


def test_lagging_promoted_replica_serves_no_old_grant(env: ClusterEnvironment) -> None:
    with env.vouching():
        env.until_served(CUSTOMERS)
        name = CUSTOMERS[0]
        primary = env.server_of(name)
        replica = env.replica_of(primary)
        execute(primary, "ACL SETUSER default", "-psync", "-sync")  # the replica can't follow any more
        execute(primary, "CLIENT KILL TYPE replica")
        assert env.withdraw(name).effective
        assert env.read(name) is Denial.REFUSED
        assert env.holds_old_grant(replica, name), "the replica lacks the withdrawal"
        primary.kill()
        env.until_refused(name)
        assert env.server_of(name) is replica
        env.until_served(CUSTOMERS[1:])


def restore_old_dump(env: ClusterEnvironment, name: str) -> RedisServer:
    """Restart a customer's primary from a dump made before the customer withdrew."""
    primary = env.server_of(name)
    replica = env.replica_of(primary)
    execute(primary, "SAVE")
    dump = primary.folder / "dump.rdb"
    kept = shutil.copy(dump, primary.folder / "kept.rdb")
    assert env.withdraw(name).effective
    assert env.read(name) is Denial.REFUSED
    replica.kill()
    primary.kill()
    shutil.copy(kept, dump)
    primary.start()
    assert env.holds_old_grant(primary, name), "the dump lacks the withdrawal"
    return primary


def test_primary_restored_from_a_dump_serves_no_old_grant(env: ClusterEnvironment) -> None:
    with env.vouching():
        env.until_served(CUSTOMERS)
        name = CUSTOMERS[0]
        restore_old_dump(env, name)
        env.until_refused(name)
        env.until_served(CUSTOMERS[1:])


def test_old_grant_in_a_moved_slot_is_not_served(env: ClusterEnvironment) -> None:
    name = CUSTOMERS[0]
    with env.vouching():
        env.until_served(CUSTOMERS)
        primary = restore_old_dump(env, name)
    eventually(lambda: "cluster_state:ok" in execute(primary, "CLUSTER INFO"), "the others take the primary back")
    taker = next(node for node in env.store.nodes() if not node.owns(env.subjects[name]))
    found = taker.vouching_record().claim
    assert found
    assert taker.vouch(found, taker.now_ms() + 60_000)
    target = next(server for server in env.cluster.servers if taker.name.endswith(f":{server.port}"))
    subject = env.subjects[name]
    slot, ids = slot_of(subject), {server.port: execute(server, "CLUSTER MYID") for server in (primary, target)}
    execute(target, f"CLUSTER SETSLOT {slot} IMPORTING", ids[primary.port])
    execute(primary, f"CLUSTER SETSLOT {slot} MIGRATING", ids[target.port])
    execute(primary, "MIGRATE 127.0.0.1", target.port, subject_key(subject), 0, 5000)
    assert env.read(name) is Denial.UNVOUCHED
    for server in (target, primary):
        execute(server, f"CLUSTER SETSLOT {slot} NODE", ids[target.port])
    assert env.read(name) is Denial.UNVOUCHED
    assert env.holds_old_grant(target, name)
    with env.vouching():
        env.until_refused(name)
        env.until_served(CUSTOMERS[1:])
