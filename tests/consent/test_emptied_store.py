"""A store that is emptied between any two calls of the verifier is never vouched for without its permissions."""

from collections.abc import Iterator
from typing import Any

import pytest

from featurestore.consent.vouching.node_verifier import VerifierState
from featurestore.permission import PurposePermission
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import Node
from featurestore.store.redis import RedisStore
from tests.kit.clock import Clock
from tests.kit.shop import Shop
from tests.kit.stores import begin_incarnation
from tests.kit.verifier import VerifierDriver, verifier_of

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
CALLS = ["run", "vouching_record", "publish_permissions", "now_ms", "vouch", "write_claim"]


def flush(store: Node) -> None:
    """Empty the store as FLUSHALL does, which changes no run."""
    if isinstance(store, RedisStore):
        store._execute([("FLUSHALL",)])
    else:
        assert isinstance(store, MemoryStore)
        store.restart(emptied=True)
        store._runs -= 1


@pytest.fixture(params=["memory", "redis"])
def node(
    request: pytest.FixtureRequest, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RedisStore | MemoryStore]:
    if request.param == "memory":
        yield shop.store
        return
    store = RedisStore(request.getfixturevalue("redis_server"), 1_000)
    monkeypatch.setattr(configured, "store", lambda: store)
    monkeypatch.setattr(shop, "store", store)
    yield store
    flush(store)


@pytest.fixture
def vouching(shop: Shop, node: Node, clock: Clock) -> VerifierDriver:
    """Driver of a verifier that vouches for the node, where ann allows two purposes, one of them just now."""
    flush(node)
    shop.register()
    shop.give()
    driver = VerifierDriver(verifier_of(node, clock), clock)
    driver.until_vouching()
    driver.steps(2)
    return driver


def allows_or_denies_all(shop: Shop, subject: str) -> bool:
    """Whether the store is not vouched for, or holds the permission that the database has."""
    reading = shop.store.read([subject], [], [], 1_000)
    stored = reading.subjects[0].permission
    return not reading.vouched or (stored is not None and stored.purposes["service"].allowed)


class EmptiedNode:
    """The node as its verifier sees it: emptied by somebody before one of the verifier's calls, the first of its kind
    or a later one. ``republished``: the command then begins a new incarnation at once, so that it has a claim again.
    """

    def __init__(self, node: Node, call: str, skipped: int, republished: bool):
        self.node, self.call, self.skipped, self.republished = node, call, skipped, republished

    def __getattr__(self, name: str) -> Any:
        if name == self.call:
            self.skipped -= 1
            if self.skipped == -1:
                flush(self.node)
                if self.republished:
                    begin_incarnation(self.node)
        return getattr(self.node, name)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("skipped", range(3))
@pytest.mark.parametrize("republished", [False, True])
def test_store_emptied_before_any_call_of_the_verifier_is_filled_before_it_is_vouched_for(
    shop: Shop, node: Node, vouching: VerifierDriver, call: str, skipped: int, republished: bool
) -> None:
    subject = next(iter(node.subjects()))
    shop.give("personalisation", when=9)  # so that there is a change to claim
    verifier = vouching.verifier
    verifier.node = verifier.changes.node = EmptiedNode(node, call, skipped, republished)  # type: ignore[assignment]
    for _ in range(8):
        vouching.steps()
        assert allows_or_denies_all(shop, subject)
    assert vouching.steps(2) == [VerifierState.VOUCHING] * 2
    assert isinstance(shop.read(subject), PurposePermission)


def test_store_emptied_between_vouch_and_claim_is_not_claimed(
    shop: Shop, node: Node, vouching: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.give("personalisation", when=9)
    original = node.write_claim

    def write_claim(*arguments: Any) -> bool:
        flush(node)
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(node, "write_claim", write_claim)
        assert vouching.steps() == [VerifierState.STORE_CHANGED]
    assert node.vouching_record().claim is None
    assert not node.read([], [], [], 1_000).vouched
