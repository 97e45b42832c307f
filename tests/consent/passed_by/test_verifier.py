"""A store that was emptied is vouched for only after the grants of passed-by subjects have a later start."""

from collections.abc import Iterator

import pytest

from featurestore.consent import late_grants
from featurestore.consent.passed_by.restarts import PassedByRestarts
from featurestore.consent.vouching.node_verifier import VerifierState
from featurestore.permission import Denial, PurposePermission
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import Node, StoreClaim
from featurestore.store.redis import RedisStore, subject_key
from tests.consent.test_emptied_store import flush
from tests.kit.clock import Clock, at, ms
from tests.kit.passed_by import MemoryPassedBy
from tests.kit.shop import Shop
from tests.kit.verifier import VerifierDriver, verifier_of

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture(params=["memory", "redis"])
def node(request: pytest.FixtureRequest, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    if request.param == "memory":
        yield shop.store
        return
    store = RedisStore(request.getfixturevalue("redis_server"), 1_000)
    monkeypatch.setattr(configured, "store", lambda: store)
    monkeypatch.setattr(shop, "store", store)
    yield store
    flush(store)


@pytest.fixture
def vouching(
    shop: Shop, node: Node, clock: Clock, topic: MemoryPassedBy, monkeypatch: pytest.MonkeyPatch
) -> VerifierDriver:
    """Driver of a verifier that vouches for the node, where ann allows a purpose since the first second."""
    flush(node)
    shop.register()
    shop.give()
    driver = VerifierDriver(verifier_of(node, clock, passed_by=PassedByRestarts(topic)), clock)
    driver.until_vouching()
    driver.steps(2)
    monkeypatch.setattr(late_grants, "database_now", lambda: at(40))
    return driver


def lose_hash(node: Node, subject: str) -> None:
    if isinstance(node, MemoryStore):
        node.delete(subject)
    else:
        assert isinstance(node, RedisStore)
        node._execute([("DEL", subject_key(subject))])


def test_emptied_store_is_not_vouched_for_with_the_earlier_start(
    shop: Shop, node: Node, vouching: VerifierDriver, topic: MemoryPassedBy, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = next(iter(node.subjects()))
    lose_hash(node, subject)
    topic.pass_by(subject)
    flush(node)
    vouch = node.vouch

    def vouch_for_later_start(claim: StoreClaim, until_ms: int) -> bool:
        stored = shop.stored(subject)
        assert stored
        assert stored.purposes["service"].start_ms > ms(at(40))
        return vouch(claim, until_ms)

    monkeypatch.setattr(node, "vouch", vouch_for_later_start)
    vouching.until_vouching()
    grant = shop.read(subject, when=10**8)
    assert isinstance(grant, PurposePermission)
    assert grant.since_ms == ms(at(1)), "what was counted before is kept"
    assert vouching.steps(2) == [VerifierState.VOUCHING] * 2


def test_run_that_is_filled_in_place_gives_the_later_start_too(
    shop: Shop, node: Node, vouching: VerifierDriver, topic: MemoryPassedBy
) -> None:
    """``python -m streams republish`` begins a new incarnation of a store that has its data."""
    subject = next(iter(node.subjects()))
    lose_hash(node, subject)
    topic.pass_by(subject)
    claim = node.vouching_record().claim
    assert claim
    assert node.write_claim(claim._replace(epoch=0, sequence=0, started="another", renewals=0), claim)
    vouching.until_vouching()
    grant = shop.read(subject, when=10**8)
    assert isinstance(grant, PurposePermission)
    assert grant.start_ms > ms(at(40))


def test_new_run_is_denied_while_the_topic_can_not_be_read_and_a_known_one_is_not(
    shop: Shop, node: Node, vouching: VerifierDriver, topic: MemoryPassedBy
) -> None:
    subject = next(iter(node.subjects()))
    topic.available = False
    assert vouching.steps(3) == [VerifierState.VOUCHING] * 3
    flush(node)
    assert vouching.steps(3) == [VerifierState.PASSED_BY_UNAVAILABLE] * 3
    assert shop.read(subject) is Denial.UNVOUCHED
    topic.available = True
    topic.pass_by(subject)
    vouching.until_vouching()
    grant = shop.read(subject, when=10**8)
    assert isinstance(grant, PurposePermission)
    assert grant.start_ms > ms(at(40)), "it was passed by before the topic was read"


def test_verifier_that_loses_the_lease_while_it_reads_does_not_vouch(
    shop: Shop, node: Node, vouching: VerifierDriver, topic: MemoryPassedBy, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush(node)
    hold, bounds = vouching.verifier.lease.hold, topic.bounds

    def lose_lease(*arguments: object) -> range:
        monkeypatch.setattr(vouching.verifier.lease, "hold", lambda: False)
        return bounds(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(topic, "bounds", lose_lease)
        assert vouching.steps() == [VerifierState.PASSED_BY_UNAVAILABLE]
    assert vouching.steps() == [VerifierState.STANDBY]
    monkeypatch.setattr(vouching.verifier.lease, "hold", hold)
    vouching.until_vouching()
