"""Consent's services and a stream processor on one store: what counts around a pause, and before a late publication."""

from collections.abc import Callable
from typing import Any

import pytest

from featurestore.consent import services
from featurestore.consent.outbox import publication
from featurestore.consent.outbox.relay import relay_due
from featurestore.customers.selectors import subject_of_customer
from featurestore.identity import partition_of
from featurestore.serving.answer import Answer, Status
from featurestore.serving.reader import rfc3339
from featurestore.store.protocol import StoreUnavailable
from streams.fetch_batches import KafkaRecord
from tests.kit.clock import at, clock, ms
from tests.kit.databases import database
from tests.kit.shop import Shop, sent, shop
from tests.kit.stores import store
from tests.streams.environment import ProcessingEnvironment

__all__ = ["clock", "database", "sent", "shop", "store"]

WHY = {"method": "email", "actor": "petra", "reason": "accuracy contested"}


class Installation:
    """A customer of partition 0 with events in seconds after the test's beginning, and what is answered of them."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.streams = shop, ProcessingEnvironment(shop.store)
        names = (f"c{n}" for n in range(1000))
        self.customer = next(n for n in names if partition_of(subject_of_customer(n), 8) == 0)
        self.subject = shop.register(self.customer).customer.subject

    def send(self, seconds: float, *, received: float | None = None, number: int | None = None) -> None:
        """Process an event of a time, which Kafka received then or later."""
        self.streams.now_ms = ms(at(seconds if received is None else received))
        raw = self.streams.raw(self.subject, at_ms=ms(at(seconds)), number=number)
        offset = self.streams.record(raw, self.subject).offset
        self.streams.fold(KafkaRecord(offset, self.streams.now_ms, self.subject.encode(), raw))

    def give(self, when: float = 0) -> services.RecordedDecision:
        return self.shop.give(when=when, customer_id=self.customer)

    def pause(self, when: float) -> None:
        services.pause(self.customer, "service", now=at(when), **WHY)

    def lift(self, when: float) -> None:
        services.lift(self.customer, "service", now=at(when), **WHY)

    def relay(self, when: float) -> None:
        """Publish and send what is due; the streams purge."""
        relay_due(at(when))
        if self.shop.sent.sent:
            self.streams.purge(self.subject)

    def answer(self, when: float) -> Answer:
        self.streams.now_ms = ms(at(when))
        self.streams.advance_watermark(self.streams.offset)
        return self.streams.read(self.subject)

    def counted(self, when: float) -> tuple[str | None, int]:
        """The answer's start, and the number of events."""
        answer = self.answer(when)
        return answer.views["spend"].start, answer.features["spend_count_lifetime"]


@pytest.fixture
def installation(shop: Shop) -> Installation:
    return Installation(shop)


@pytest.fixture
def unpublished(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> Callable[[], None]:
    """No permission reaches the store, which the streams read and write all the same. Call it to end that."""

    def refuse(*_: object) -> None:
        raise StoreUnavailable("not reached from here")

    monkeypatch.setattr(shop.store, "publish_permissions", refuse)
    return lambda: monkeypatch.delattr(shop.store, "publish_permissions")


def test_start_is_not_before_events_that_a_late_grant_missed(
    installation: Installation, unpublished: Callable[[], None]
) -> None:
    """Ported from cases/6-late-put.py: an answer claimed to start before an event that it did not count."""
    assert not installation.give().effective
    installation.send(1.9)  # after since, and denied: the store has no grant yet
    unpublished()
    installation.relay(2)
    installation.send(2.5)  # before the later start
    installation.send(3)
    installation.send(4)
    assert installation.counted(5) == (rfc3339(ms(at(3))), 2)


def test_only_events_from_before_a_pause_and_after_its_end_count(installation: Installation) -> None:
    installation.give()
    installation.send(5, number=1)
    installation.pause(10)
    assert installation.answer(11).views["spend"].reason == "paused"
    installation.send(15, number=2)
    installation.lift(20)
    installation.send(15, received=30, number=3)  # late
    installation.send(15, received=31, number=2)  # again
    installation.send(5, received=32, number=1)
    installation.send(22, number=4)
    assert installation.counted(40) == (rfc3339(ms(at(21))), 2)


def test_paused_state_survives_a_purge_and_a_restarted_store(installation: Installation) -> None:
    installation.give()
    installation.send(5)
    installation.pause(10)
    installation.streams.purge(installation.subject)
    installation.send(15)
    installation.lift(20)
    installation.relay(21)
    assert installation.counted(40) == (rfc3339(ms(at(21))), 1)


def test_values_that_the_store_lost_during_a_pause_are_pushed_at_the_lifting(installation: Installation) -> None:
    installation.give()
    installation.send(5)
    installation.pause(10)
    installation.shop.store._fields.clear()
    installation.lift(20)
    installation.relay(21)
    assert installation.counted(40) == (rfc3339(ms(at(21))), 1)


def test_withdrawal_while_paused_deletes_the_state(installation: Installation) -> None:
    installation.give()
    installation.send(5)
    installation.pause(10)
    installation.shop.withdraw(when=15, customer_id=installation.customer)
    installation.relay(16)
    installation.give(20)
    installation.lift(30)
    assert installation.answer(40).views["spend"].status is Status.MISSING
    assert installation.counted(40)[1] == 0


def without_publication(monkeypatch: pytest.MonkeyPatch, decide: Callable[[], object]) -> None:
    """Decide in a process that ends between commit and publication."""
    with monkeypatch.context() as patch:
        patch.setattr("featurestore.consent.services.decisions.publish", lambda *_: set())
        decide()


@pytest.mark.parametrize("reason", ["late publication", "worker's clock ahead"])
def test_consent_renewed_at_its_end_keeps_what_was_counted(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    def renew() -> None:
        installation.shop.give(when=99.8, customer_id=installation.customer, until=at(10_000))

    installation.shop.give(when=0, customer_id=installation.customer, until=at(100))
    installation.send(5, number=1)
    if reason == "late publication":
        without_publication(monkeypatch, renew)
        installation.send(99.9, received=100.1, number=2)
        assert installation.answer(100.2).views["spend"].reason == "expired", "reads deny at the end"
        installation.relay(100.4)
    else:
        installation.send(99, received=100.1, number=2)  # at 99.1, by a worker whose clock is 1 s ahead
        renew()
        installation.relay(99.9)
    installation.send(103, number=3)
    start, count = installation.counted(110)
    assert count == 2
    assert start == rfc3339(ms(at(101.4 if reason == "late publication" else 100.8)))


def test_consent_renewed_in_time_keeps_its_start(installation: Installation) -> None:
    installation.shop.give(when=0, customer_id=installation.customer, until=at(100))
    installation.shop.give(when=90, customer_id=installation.customer, until=at(10_000))
    installation.send(103)
    assert installation.counted(110) == (rfc3339(ms(at(1))), 1)


def test_expired_grant_is_dropped_when_its_end_is_recorded(installation: Installation) -> None:
    installation.shop.give(when=0, customer_id=installation.customer, until=at(100))
    installation.send(5)
    installation.streams.now_ms = ms(at(101))
    installation.streams.purge(installation.subject)
    assert installation.streams.state(installation.subject).views
    services.expire_due(at(102))
    installation.relay(103)
    assert not installation.streams.state(installation.subject).views


def test_late_pause_of_a_grant_at_its_end_keeps_the_state(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.shop.give(when=0, customer_id=installation.customer, until=at(100))
    installation.send(5)
    without_publication(monkeypatch, lambda: installation.pause(99.8))
    installation.send(99.7, received=100.1)
    installation.relay(100.4)
    assert installation.streams.state(installation.subject).views


@pytest.mark.parametrize("published", [15, 20.5])
def test_events_of_a_pause_that_was_published_late_are_not_answered(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, published: float
) -> None:
    installation.give()
    installation.send(5)
    without_publication(monkeypatch, lambda: installation.pause(10))
    installation.send(12)  # counted: the store does not have the pause
    if published < 20:
        installation.relay(published)
        assert installation.answer(16).views["spend"].reason == "paused"
        installation.lift(20)
    else:
        without_publication(monkeypatch, lambda: installation.lift(20))
    installation.relay(20.5)
    installation.send(40)
    assert installation.counted(50) == (rfc3339(ms(at(21))), 1)


def test_late_lifting_within_the_delay_of_a_late_grant_starts_later(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_publication(monkeypatch, installation.give)
    with monkeypatch.context() as patch:
        patch.setattr(publication, "RESTART_DELAYS_MS", [16_000])
        publication.publish({installation.subject}, at(3))
    installation.pause(4)
    without_publication(monkeypatch, lambda: installation.lift(5))
    installation.send(25)  # denied: the store has the pause
    installation.shop.sent.sent.clear()
    publication.publish({installation.subject}, at(30))
    installation.send(40)
    assert installation.counted(50) == (rfc3339(ms(at(31))), 1)


def test_no_answer_claims_the_start_of_a_late_grant(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_publication(monkeypatch, installation.give)
    settle, starts = publication.settle, []

    def read_before(*args: Any, **more: Any) -> Any:
        starts.append(installation.answer(10).views["spend"].start)
        return settle(*args, **more)

    monkeypatch.setattr(publication, "settle", read_before)
    publication.publish({installation.subject}, at(10))
    assert starts == [rfc3339(ms(at(11)))]
