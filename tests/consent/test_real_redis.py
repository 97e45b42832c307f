"""Consent on real Redis servers: what a reader is told, through deaths and promotions."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from devservers.redis_server import RedisServer
from featurestore.consent import services
from featurestore.consent.models import PermissionChange
from featurestore.consent.services import RecordedDecision
from featurestore.consent.vouching.node_verifier import NodeVerifier, VerifierState
from featurestore.permission import Denial, PurposePermission
from featurestore.profiles.services import register
from featurestore.serving.guard import decide_access
from featurestore.store import configured
from featurestore.store.redis import RedisStore
from tests.kit.shop import Shop

EXPIRY_MS = 3000  # longer than a busy machine pauses


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


class Live:
    """A shop on a real Redis, in real time."""

    def __init__(self, server: RedisServer, monkeypatch: pytest.MonkeyPatch):
        self.server, self.monkeypatch = server, monkeypatch
        self.connect(server)
        self.verifier._vouch_times = {None: -1e9}  # no voucher was here before: nothing to wait for
        self.subject = register("ann", "eu", "acme").customer.subject

    def connect(self, server: RedisServer) -> None:
        self.store = RedisStore(server.url, 1000)
        self.monkeypatch.setattr(configured, "store", lambda: self.store)
        self.verifier = NodeVerifier(self.store, EXPIRY_MS)

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
def live(shop: Shop, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Live:
    return Live(redis, monkeypatch)


def test_a_decision_is_in_effect_for_the_next_read(live: Live) -> None:
    assert not live.give().effective
    live.until_vouching()
    assert live.give().effective
    assert isinstance(live.read(), PurposePermission)
    for _ in range(20):
        live.verifier.step()
        assert live.withdraw().effective
        assert live.read() is Denial.REFUSED
        assert live.give().effective
        assert isinstance(live.read(), PurposePermission)


def test_nobody_reads_what_was_withdrawn_while_the_store_was_dead(live: Live) -> None:
    live.until_vouching()
    live.give()
    live.server.kill()
    decided = live.withdraw()
    assert not decided.effective
    assert PermissionChange.objects.get(sequence=decided.sequence).published_at is None
    live.server.start()
    assert live.read() is Denial.UNVOUCHED
    live.until_vouching()
    assert live.read() is Denial.REFUSED
    assert PermissionChange.objects.get(sequence=decided.sequence).published_at is not None


def test_a_flushed_store_denies_until_everything_is_put_again(live: Live) -> None:
    live.give()
    live.until_vouching()
    with Redis.from_url(live.server.url) as client:
        client.flushall()
    assert live.read() is Denial.UNVOUCHED
    live.until_vouching()
    assert isinstance(live.read(), PurposePermission)


def test_a_promoted_replica_that_lags_never_shows_what_was_withdrawn(live: Live, tmp_path: Path) -> None:
    replica = RedisServer(tmp_path / "replica")
    replica.start()
    try:
        with Redis.from_url(live.server.url) as master, Redis.from_url(replica.url) as follower:
            live.give()
            live.until_vouching()
            live.verifier.step()
            follower.replicaof("127.0.0.1", live.server.port)
            while follower.info("replication")["master_link_status"] != "up":
                time.sleep(0.02)
            master.wait(1, 5000)
            live.verifier.step()
            follower.replicaof("NO", "ONE")  # promoted, with the permission given
            assert live.withdraw().effective  # on the old master, which readers still use
            assert live.read() is Denial.REFUSED

        old = live.store
        live.connect(replica)  # the fail-over reaches everybody
        assert live.read() is Denial.UNVOUCHED
        stored = live.store.read([live.subject], [], [], 1000).subjects[0].permission
        assert stored is not None
        assert stored.purposes["service"].allowed  # the replica never heard of it
        live.until_vouching()
        assert live.read() is Denial.REFUSED
        time.sleep(EXPIRY_MS / 1000)
        assert live.read(old) is Denial.UNVOUCHED
    finally:
        replica.kill()


def test_a_redis_restored_from_a_dump_never_shows_what_was_withdrawn(live: Live) -> None:
    live.give()
    live.until_vouching()
    with Redis.from_url(live.server.url) as client:
        client.save()
    dump = live.server.folder / "dump.rdb"
    kept = shutil.copy(dump, live.server.folder / "kept.rdb")
    assert live.withdraw().effective
    assert live.read() is Denial.REFUSED
    live.server.kill()
    shutil.copy(kept, dump)
    live.server.start()
    stored = live.store.read([live.subject], [], [], 1000).subjects[0].permission
    assert stored is not None
    assert stored.purposes["service"].allowed  # the dump never heard of it
    assert live.read() is Denial.UNVOUCHED
    live.until_vouching()
    assert live.read() is Denial.REFUSED


def test_of_two_masters_one_is_vouched_for(live: Live, tmp_path: Path) -> None:
    """Back on the old master, which never knew that it was replaced: what it missed is put first."""
    other = RedisServer(tmp_path / "other")
    other.start()
    try:
        live.give()
        live.until_vouching()
        live.verifier.step()
        first = live.server
        live.connect(other)
        live.until_vouching()
        assert live.withdraw().effective
        live.connect(first)
        live.until_vouching()
        assert live.read() is Denial.REFUSED
    finally:
        other.kill()


def test_a_store_that_was_read_only_for_as_long_as_a_word_lasts_is_vouched_for_at_once(live: Live) -> None:
    now_s = [0.0]
    live.verifier = NodeVerifier(live.store, EXPIRY_MS, lambda: now_s[0], vouch_times={None: -1e9})
    live.until_vouching()
    with Redis.from_url(live.server.url) as client:
        for long_enough in (False, True):
            client.replicaof("127.0.0.1", 1)
            for _ in range(2):
                assert live.verifier.step() is VerifierState.STORE_AWAY
                now_s[0] += EXPIRY_MS / 1000 / (2 if long_enough else 4)
            client.replicaof("NO", "ONE")  # another run: what was put elsewhere meanwhile it lacks
            assert live.verifier.step() is (VerifierState.VOUCHING if long_enough else VerifierState.WAITING)
            now_s[0] += EXPIRY_MS / 1000
            assert live.verifier.step() is VerifierState.VOUCHING
