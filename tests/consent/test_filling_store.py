"""Decisions that meet an emptied store: publishing them is a part of the filling, and no earlier grant starts later."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import pytest

from featurestore.consent.models import CurrentPermission
from featurestore.consent.outbox import publication
from featurestore.consent.outbox.relay import relay_due
from featurestore.customers.selectors import subject_of_customer
from featurestore.permission import Permission
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import (
    Node,
    PublishResult,
    ReadResult,
    StoreUnavailable,
    VouchingRecord,
    new_incarnation,
)
from featurestore.store.redis import RedisStore
from tests.consent.test_emptied_store import flush
from tests.kit.clock import Clock, at, ms
from tests.kit.shop import Shop
from tests.kit.stores import HalfStore, record_vouched_runs, vouch
from tests.kit.verifier import VerifierDriver, verifier_of

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
FIRST, LATER = ms(at(1)), ms(at(61))
"""Starts of a grant of the beginning, and of what is decided after a minute."""


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
def vouching(shop: Shop, node: Node, clock: Clock) -> VerifierDriver:
    """Driver of a verifier that vouches for the node, where ann allows a purpose."""
    flush(node)
    shop.register()
    shop.give()
    driver = VerifierDriver(verifier_of(node, clock), clock)
    driver.until_vouching()
    driver.steps(2)
    return driver


class CalledNode:
    """The node as one process sees it: something happens before the first call of a name."""

    def __init__(self, node: Node, name: str, happens: Callable[[], object]):
        self.node, self.name, self.happens = node, name, [happens]

    def nodes(self) -> "tuple[CalledNode]":
        return (self,)

    def __getattr__(self, name: str) -> Any:
        if name == self.name and self.happens:
            self.happens.pop()()
        return getattr(self.node, name)


def starts(shop: Shop, customer_id: str = "ann") -> dict[str, int]:
    """Starts of the grants in the store, which are the database's."""
    stored = shop.stored(subject_of_customer(customer_id))
    assert stored is not None
    rows = CurrentPermission.objects.filter(customer__subject=subject_of_customer(customer_id), allowed=True)
    recorded = {row.purpose.name: ms(row.complete_from or row.since) for row in rows.select_related("purpose")}
    assert {name: one.start_ms for name, one in stored.purposes.items() if one.allowed} == recorded
    return recorded


def marked(shop: Shop, customer_id: str = "ann") -> bool:
    (stored,) = shop.store.read([subject_of_customer(customer_id)], [], [], 1_000).subjects
    return stored.recreation_mark is not None


def decide(shop: Shop, customer_id: str = "ann") -> None:
    assert not shop.give("personalisation", when=60, customer_id=customer_id).effective, "nobody vouches"


@pytest.mark.parametrize("relayed", [False, True])
def test_decision_before_the_filling_keeps_the_other_grants_start(
    shop: Shop, node: Node, vouching: VerifierDriver, relayed: bool
) -> None:
    """``relayed``: its publication is tried again before the verifier looks."""
    flush(node)
    decide(shop)
    if relayed:
        relay_due(at(60.5))
    vouching.until_vouching()
    vouching.steps(2)
    assert starts(shop)["service"] == FIRST
    assert not marked(shop)


@pytest.mark.parametrize("call", ["write_claim", "publish_permissions", "now_ms"])
def test_decision_during_the_filling_keeps_the_other_grants_start(
    shop: Shop, node: Node, vouching: VerifierDriver, call: str
) -> None:
    """At the last of these calls the verifier has filled the store, and is about to vouch for it."""
    flush(node)
    verifier = vouching.verifier
    seen = CalledNode(node, call, lambda: decide(shop))
    verifier.node = verifier.changes.node = seen  # type: ignore[assignment]
    vouching.until_vouching()
    vouching.steps(2)
    assert not seen.happens
    assert starts(shop)["service"] == FIRST
    assert not marked(shop)


def test_publication_that_the_filling_overtakes_keeps_the_other_grants_start(
    shop: Shop, node: Node, vouching: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds the store emptied, and reaches it after the verifier has filled it and vouches."""
    flush(node)
    decide(shop)

    def fill() -> None:
        vouching.until_vouching()
        vouching.steps(2)

    seen = CalledNode(node, "publish_permissions", fill)
    with monkeypatch.context() as patch:
        patch.setattr(configured, "store", lambda: seen)
        assert shop.give("service", when=70, until=at(99_999)).effective
    assert not seen.happens
    assert starts(shop)["service"] == FIRST
    assert not marked(shop)


def test_decision_after_the_filling_keeps_the_other_grants_start(
    shop: Shop, node: Node, vouching: VerifierDriver
) -> None:
    flush(node)
    decide(shop)
    vouching.until_vouching()
    vouching.steps(2)
    assert shop.withdraw("analytics", when=70).effective
    assert starts(shop)["service"] == FIRST


def test_hash_that_vanished_from_a_filled_store_starts_later_though_nobody_vouches(
    shop: Shop, node: Node, vouching: VerifierDriver
) -> None:
    """Events were passed by before the vouch key expired, and the verifier goes on without filling the store."""
    flush(node)
    vouching.until_vouching()
    if isinstance(node, MemoryStore):
        node.delete(subject_of_customer("ann"))
        node._vouch = None
    else:
        assert isinstance(node, RedisStore)
        node._execute([("DEL", f"fs:{{{subject_of_customer('ann')}}}"), ("DEL", node.vouch_key)])
    decide(shop)
    assert starts(shop)["service"] == LATER


def test_publication_in_the_moment_in_which_the_store_is_emptied_states_the_later_start(
    shop: Shop, node: Node, vouching: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = CalledNode(node, "publish_permissions", lambda: flush(node))
    with monkeypatch.context() as patch:
        patch.setattr(configured, "store", lambda: seen)
        decided = shop.give("service", when=60, until=at(99_999))
    vouching.until_vouching()
    vouching.steps(2)
    assert starts(shop)["service"] == LATER
    assert decided.since == at(1), "the grant's; complete from then on is what answers state"


class TwoNodes:
    """Store of two nodes, one of which may not answer."""

    def __init__(self, clock: Clock):
        self.halves = HalfStore(clock, 0), HalfStore(clock, 1)

    def nodes(self) -> Sequence[HalfStore]:
        return self.halves

    def node_of(self, subject: str) -> HalfStore:
        return next(half for half in self.halves if half.owns(subject))

    def read(self, subjects: Collection[str], *others: Any) -> ReadResult:
        found = [self.node_of(subject).read([subject], *others) for subject in subjects]
        return ReadResult([one.subjects[0] for one in found], [node for one in found for node in one.nodes])

    def publish_permissions(
        self, permissions: Mapping[str, Permission], now_ms: int | None = None
    ) -> dict[str, PublishResult]:
        results: dict[str, PublishResult] = {}
        for half in self.halves:
            owned = {subject: one for subject, one in permissions.items() if half.owns(subject)}
            results |= half.publish_permissions(owned, now_ms)
        return results


@pytest.fixture
def two(shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> tuple[TwoNodes, str, str]:
    """Store of two nodes that are vouched for, and the names of a customer of each."""
    store = TwoNodes(clock)
    monkeypatch.setattr(configured, "store", lambda: store)
    monkeypatch.setattr(shop, "store", store)
    for half in store.nodes():
        vouch(half)
    record_vouched_runs(*(half.run() for half in store.nodes()))
    names = [f"c{number}" for number in range(64)]
    first, second = (next(n for n in names if half.owns(subject_of_customer(n))) for half in store.nodes())
    for name in (first, second):
        shop.register(name)
        assert shop.give(customer_id=name).effective
    return store, first, second


def test_emptied_node_of_two_is_filled_and_the_other_ones_lost_hash_starts_later(
    shop: Shop, two: tuple[TwoNodes, str, str], clock: Clock
) -> None:
    store, first, second = two
    emptied, vouched = store.nodes()
    flush(emptied)
    vouched.delete(subject_of_customer(second))
    publication.publish({subject_of_customer(first), subject_of_customer(second)}, at(60))
    assert starts(shop, second)["service"] == LATER
    driver = VerifierDriver(verifier_of(emptied, clock), clock)
    driver.until_vouching()
    assert starts(shop, first)["service"] == FIRST
    assert [marked(shop, name) for name in (first, second)] == [False, True]


def test_node_that_does_not_answer_after_the_publication_may_have_been_filled_before_it(
    shop: Shop, two: tuple[TwoNodes, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, first, _ = two
    emptied, _ = store.nodes()
    flush(emptied)
    answers, vouching_record = count(), emptied.vouching_record

    def answer_once() -> VouchingRecord:
        if next(answers) == 1:
            raise StoreUnavailable("it does not answer")
        return vouching_record()

    monkeypatch.setattr(emptied, "vouching_record", answer_once)
    publication.publish({subject_of_customer(first)}, at(60))
    assert starts(shop, first)["service"] == LATER


def test_record_of_a_node_tells_whether_it_is_filled(shop: Shop) -> None:
    node = shop.store
    assert not node.vouching_record().is_unfilled
    flush(node)
    assert node.vouching_record().is_unfilled
    assert node.write_claim(new_incarnation(node.run()), None)
    assert node.vouching_record().is_unfilled
    node._claim = None
    vouch(node)
    node._claim = None
    assert not node.vouching_record().is_unfilled, "its vouch key is left: the streams do not wait"
