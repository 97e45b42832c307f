"""Requests for values of evicted subjects: few, not too often, and none that makes others wait."""

from featurestore.consent.outbox import value_requests
from featurestore.consent.outbox.value_requests import AGAIN_S, PAUSE_S, ValueRequests
from tests.kit.clock import Clock
from tests.kit.shop import Shop

UNKNOWN = "f" * 32


def test_a_subject_is_requested_once_within_some_seconds(shop: Shop, clock: Clock) -> None:
    ann, bob = (shop.register(name).customer.subject for name in ("ann", "bob"))
    requests = ValueRequests(clock)
    assert requests.send([ann, ann, UNKNOWN]) == 1
    assert [purge.subject for purge in shop.sent.sent] == [ann]
    assert requests.send([ann, bob]) == 1
    clock.pass_s(AGAIN_S - 1)
    assert requests.send([ann]) == 0
    clock.pass_s(1)
    assert requests.send([ann, bob]) == 2
    assert sorted(purge.subject for purge in shop.sent.sent) == sorted([ann, bob] * 2)


def test_more_than_a_call_may_send_are_left_to_the_next_read(shop: Shop, clock: Clock, monkeypatch) -> None:
    monkeypatch.setattr(value_requests, "MAX_SUBJECTS", 2)
    subjects = [shop.register(f"customer {number}").customer.subject for number in range(3)]
    requests = ValueRequests(clock)
    assert requests.send(subjects) == 2
    assert requests.send(subjects) == 1
    assert {purge.subject for purge in shop.sent.sent} == set(subjects)


def test_after_a_failure_nothing_is_requested_for_a_while(shop: Shop, clock: Clock) -> None:
    ann = shop.register("ann").customer.subject
    requests = ValueRequests(clock)
    shop.sent.failing = True
    assert requests.send([ann]) == 0
    shop.sent.failing = False
    clock.pass_s(PAUSE_S - 1)
    assert requests.send([ann]) == 0
    assert shop.sent.sent == []
    clock.pass_s(1)
    assert requests.send([ann]) == 1


def test_a_request_for_nobody_asks_no_database(clock: Clock) -> None:
    assert ValueRequests(clock).send([]) == 0
