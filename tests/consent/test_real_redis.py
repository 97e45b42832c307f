"""Consent on real Redis servers: answers while they die, restart and are promoted."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from devservers.redis_server import RedisServer
from devservers.waiting import eventually
from featurestore.consent import services
from featurestore.consent.models import PermissionChange
from featurestore.consent.services import RecordedDecision
from featurestore.consent.vouching.lease import HeldLease
from featurestore.consent.vouching.node_verifier import NodeVerifier, VerifierState
from featurestore.permission import Denial, PurposePermission
from featurestore.profiles.services import register
from featurestore.serving.guard import decide_access
from featurestore.store import configured
from featurestore.store.redis import RedisStore
from tests.kit.shop import Shop
from tests.kit.stores import record_vouched_runs

EXPIRY_MS = 3000  # longer than a busy machine pauses


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


class RedisEnvironment:
    """Customer and verifier on a real Redis, in real time."""

    def __init__(self, server: RedisServer, monkeypatch: pytest.MonkeyPatch):
        self.server, self.monkeypatch = server, monkeypatch
        record_vouched_runs()
        self.connect(server)
        self.start_verifier()
        self.subject = register("ann", "eu", "acme").customer.subject

    def connect(self, server: RedisServer) -> None:
        self.store = RedisStore(server.url, 1000)
        self.monkeypatch.setattr(configured, "store", lambda: self.store)

    def start_verifier(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start a verifier that has held the lease for long, so that it need not wait for earlier vouch keys."""
        self.lease = HeldLease(lambda: [self.store], EXPIRY_MS, clock)
        assert self.lease.hold()
        self.lease._acquired_at = self.lease._predecessors_until = -1e9
        self.verifier = NodeVerifier(self.store, EXPIRY_MS, clock, lease=self.lease)

    def follow(self, server: RedisServer) -> None:
        """Connect every process to another server, the verifier's too."""
        self.connect(server)
        self.verifier = NodeVerifier(self.store, EXPIRY_MS, lease=self.lease)

    def until_vouching(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.verifier.step() is VerifierState.VOUCHING:
                return
            time.sleep(0.02)
        raise AssertionError(self.verifier.state)

    def give(self) -> RecordedDecision:
        return services.give("ann", "service", notice="privacy/1/en", method="web", actor="shop")

    def withdraw(self) -> RecordedDecision:
        return services.withdraw("ann", "service", method="web", actor="shop")

    def read(self, store: RedisStore | None = None) -> PurposePermission | Denial:
        reading = (store or self.store).read([self.subject], [], [], 1000)
        now_ms = int(time.time() * 1000) + 5000
        return decide_access(reading.subjects[0].permission, "service", vouched=reading.vouched, now_ms=now_ms)


@pytest.fixture
def env(shop: Shop, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisEnvironment:
    return RedisEnvironment(redis, monkeypatch)


def test_next_read_obeys_the_decision(env: RedisEnvironment) -> None:
    assert not env.give().effective
    env.until_vouching()
    assert env.give().effective
    assert isinstance(env.read(), PurposePermission)
    for _ in range(20):
        env.verifier.step()
        assert env.withdraw().effective
        assert env.read() is Denial.REFUSED
        assert env.give().effective
        assert isinstance(env.read(), PurposePermission)


def test_withdrawal_while_redis_was_dead_denies_after_its_return(env: RedisEnvironment) -> None:
    env.until_vouching()
    env.give()
    env.server.kill()
    decided = env.withdraw()
    assert not decided.effective
    assert PermissionChange.objects.get(sequence=decided.sequence).published_at is None
    env.server.start()
    assert env.read() is Denial.UNVOUCHED
    env.until_vouching()
    assert env.read() is Denial.REFUSED
    assert PermissionChange.objects.get(sequence=decided.sequence).published_at is not None


def test_flushed_redis_denies_until_everything_is_published(env: RedisEnvironment) -> None:
    env.give()
    env.until_vouching()
    with Redis.from_url(env.server.url) as client:
        client.flushall()
    assert env.read() is Denial.UNVOUCHED
    env.until_vouching()
    assert isinstance(env.read(), PurposePermission)


def test_lagging_promoted_replica_denies_a_withdrawn_purpose(env: RedisEnvironment, tmp_path: Path) -> None:
    replica = RedisServer(tmp_path / "replica")
    replica.start()
    try:
        with Redis.from_url(env.server.url) as primary, Redis.from_url(replica.url) as follower:
            env.give()
            env.until_vouching()
            env.verifier.step()
            follower.replicaof("127.0.0.1", env.server.port)
            while follower.info("replication")["master_link_status"] != "up":
                time.sleep(0.02)
            primary.wait(1, 5000)
            env.verifier.step()
            follower.replicaof("NO", "ONE")  # promoted, with the permission given
            assert env.withdraw().effective  # on the old primary, which readers still use
            assert env.read() is Denial.REFUSED

        old = env.store
        env.follow(replica)
        assert env.read() is Denial.UNVOUCHED
        stored = env.store.read([env.subject], [], [], 1000).subjects[0].permission
        assert stored is not None
        assert stored.purposes["service"].allowed  # the replica lacks the withdrawal
        env.until_vouching()
        assert env.read() is Denial.REFUSED
        eventually(lambda: env.read(old) is Denial.UNVOUCHED, "the old primary's vouch key has expired", within_s=10)
    finally:
        replica.kill()


def test_redis_restored_from_a_dump_denies_a_withdrawn_purpose(env: RedisEnvironment) -> None:
    env.give()
    env.until_vouching()
    with Redis.from_url(env.server.url) as client:
        client.save()
    dump = env.server.folder / "dump.rdb"
    kept = shutil.copy(dump, env.server.folder / "kept.rdb")
    assert env.withdraw().effective
    assert env.read() is Denial.REFUSED
    env.server.kill()
    shutil.copy(kept, dump)
    env.server.start()
    stored = env.store.read([env.subject], [], [], 1000).subjects[0].permission
    assert stored is not None
    assert stored.purposes["service"].allowed  # the dump lacks the withdrawal
    assert env.read() is Denial.UNVOUCHED
    env.until_vouching()
    assert env.read() is Denial.REFUSED


def test_one_of_two_primaries_is_vouched_for(env: RedisEnvironment, tmp_path: Path) -> None:
    """The old primary, which was replaced unnoticed, gets the changes that it missed before it is vouched for."""
    other = RedisServer(tmp_path / "other")
    other.start()
    try:
        env.give()
        env.until_vouching()
        env.verifier.step()
        first = env.server
        env.follow(other)
        env.until_vouching()
        assert env.withdraw().effective
        env.follow(first)
        env.until_vouching()
        assert env.read() is Denial.REFUSED
    finally:
        other.kill()


def test_no_wait_after_a_read_only_time_longer_than_the_expiry(env: RedisEnvironment) -> None:
    now_s = [0.0]
    env.lease.release()
    env.start_verifier(lambda: now_s[0])
    env.until_vouching()
    with Redis.from_url(env.server.url) as client:
        for long_enough in (False, True):
            client.replicaof("127.0.0.1", 1)
            for _ in range(2):
                assert env.verifier.step() is VerifierState.STORE_UNAVAILABLE
                now_s[0] += EXPIRY_MS / 1000 / (2 if long_enough else 4)
            client.replicaof("NO", "ONE")  # another run, which may lack changes
            assert env.verifier.step() is (VerifierState.VOUCHING if long_enough else VerifierState.WAITING)
            now_s[0] += EXPIRY_MS / 1000
            assert env.verifier.step() is VerifierState.VOUCHING


def test_store_of_an_earlier_version_is_denied_until_it_is_emptied(env: RedisEnvironment) -> None:
    now_s = [0.0]
    env.lease.release()
    env.start_verifier(lambda: now_s[0])
    env.until_vouching()
    with Redis.from_url(env.server.url) as redis:
        redis.flushall()
        redis.set("fs:claim", b"of an earlier version")
        now_s[0] += EXPIRY_MS / 1000 + 0.1
        assert env.verifier.step() is VerifierState.STORE_OUTDATED
        assert "redis-cli FLUSHDB" in VerifierState.STORE_OUTDATED
        assert env.read() is Denial.UNVOUCHED
        redis.flushdb()
    env.verifier.step()
    now_s[0] += EXPIRY_MS / 1000
    env.until_vouching()


def test_redis_set_back_to_earlier_contents_denies_what_was_withdrawn(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = RedisServer(tmp_path / "set-back", options=("--enable-debug-command", "yes"))
    server.start()
    try:
        env = RedisEnvironment(server, monkeypatch)
        env.give()
        env.until_vouching()
        with Redis.from_url(server.url) as client:
            client.save()
            assert env.withdraw().effective
            env.verifier.step()
            client.execute_command("DEBUG", "RELOAD", "NOSAVE")  # the file of before, under the same run
        env.until_vouching()
        assert env.read() is Denial.REFUSED
    finally:
        server.kill()


def test_damaged_hash_stops_nobody_else(env: RedisEnvironment) -> None:
    bob = register("bob", "eu", "acme").customer.subject
    env.until_vouching()
    with Redis.from_url(env.server.url) as client:
        client.hset(f"fs:{{{env.subject}}}", "spend/service", b"short")
        env.give()
        assert not client.hexists(f"fs:{{{env.subject}}}", "spend/service")
        client.delete(f"fs:{{{bob}}}")
        client.set(f"fs:{{{bob}}}", "of another program")
    reading = env.store.read([bob, env.subject], [], [], 1000)
    assert [bool(one.permission) for one in reading.subjects] == [False, True]
    services.give("bob", "service", notice="privacy/1/en", method="web", actor="shop")
    assert env.verifier.step() is VerifierState.VOUCHING
    assert env.store.read([bob], [], [], 1000).subjects[0].permission
