"""Relay: changes and purges that a service left are finished, through failures of store, broker and process."""

import threading
from datetime import timedelta

import pytest
from django.db import connections

from featurestore.config import Settings
from featurestore.consent.models import JournalCheckpoint, PermissionChange
from featurestore.consent.outbox import relay
from featurestore.consent.outbox.purge_producer import Purge
from featurestore.consent.outbox.relay import RelayResult, prune, relay_due, retry_delay
from featurestore.permission import Denial
from tests.kit.clock import at
from tests.kit.shop import Shop


@pytest.fixture
def withdrawn(shop: Shop) -> Purge:
    """Purge of a withdrawal, not sent yet."""
    ann = shop.register().customer
    shop.give()
    return Purge(ann.subject, shop.withdraw(when=5).sequence)


def count_pending() -> int:
    return PermissionChange.objects.filter(relay.PENDING).count()


def test_withdrawal_sends_one_purge(shop: Shop, withdrawn: Purge) -> None:
    assert relay_due(at(6)) == RelayResult(finished=1, purged=1, failed=0)
    assert relay_due(at(7)) == RelayResult(0, 0, 0)
    assert shop.sent.sent == [withdrawn]
    assert PermissionChange.objects.get(sequence=withdrawn.sequence).purge_sent_at == at(6)


def test_consent_sends_no_purge(shop: Shop) -> None:
    shop.register()
    shop.give()
    shop.give(when=1)
    assert relay_due(at(6)) == RelayResult(0, 0, 0)


def test_unpublished_change_is_published_before_its_purge_is_sent(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    shop.store.available = False
    shop.withdraw(when=5)
    assert relay_due(at(6)) == RelayResult(0, 0, failed=1)
    assert shop.sent.sent == []  # not before the permission is published: the streams read it
    shop.store.available = True
    assert relay_due(at(60)) == RelayResult(1, 1, 0)
    assert shop.read(ann.subject) is Denial.REFUSED
    assert count_pending() == 0


def test_refused_purges_are_retried_ever_less_often(shop: Shop, withdrawn: Purge) -> None:
    shop.sent.failing = True
    waits = []
    now = 6.0
    for _ in range(12):
        assert relay_due(at(now)).failed == 1
        change = PermissionChange.objects.get(sequence=withdrawn.sequence)
        assert change.last_error == "broker unavailable"
        assert relay_due(at(now)) == RelayResult(0, 0, 0)
        waits.append((change.next_attempt_at - at(now)).total_seconds())
        now += waits[-1]
    assert 0.5 <= waits[0] <= 1
    assert all(2**n / 2 <= wait <= 2**n for n, wait in enumerate(waits[:9]))
    assert all(150 <= wait <= 300 for wait in waits[9:])
    shop.sent.failing = False
    assert relay_due(at(now)).purged == 1
    assert PermissionChange.objects.get(sequence=withdrawn.sequence).last_error == ""


def test_retry_delays_are_randomized() -> None:
    assert len({retry_delay(5) for _ in range(50)}) > 40
    assert retry_delay(10**6) <= timedelta(minutes=5)


def test_crash_after_sending_sends_the_purge_again(shop: Shop, withdrawn: Purge) -> None:
    shop.sent.dying = True
    with pytest.raises(KeyboardInterrupt):
        relay_due(at(6))
    shop.sent.dying = False
    assert relay_due(at(7)) == RelayResult(0, 0, 0)  # reserved by the dead relay for a minute
    assert relay_due(at(6 + relay.RESERVATION_S)) == RelayResult(1, 1, 0)
    assert shop.sent.sent == [withdrawn, withdrawn]
    assert count_pending() == 0


def test_failed_purge_does_not_hold_back_the_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []
    for name in ("ann", "bob", "cem"):
        shop.register(name)
        shop.give(customer_id=name)
        refused.append(shop.withdraw(customer_id=name, when=5).sequence)
    monkeypatch.setattr(
        shop.sent, "send", lambda wanted: {one: "too large" for one in wanted if one.sequence == refused[1]}
    )
    assert relay_due(at(6)) == RelayResult(finished=2, purged=2, failed=1)
    assert [change.sequence for change in PermissionChange.objects.filter(relay.PENDING)] == [refused[1]]


def test_concurrent_relays_finish_each_change_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "CHANGES_PER_BATCH", 3)
    for n in range(30):
        shop.register(f"c{n}")
        shop.give(customer_id=f"c{n}")
        shop.withdraw(customer_id=f"c{n}", when=5)
    results: list[RelayResult] = []

    def work() -> None:
        results.append(relay_due(at(6)))
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.append(relay_due(at(6)))
    assert sum(result.purged for result in results) == 30
    assert sorted(shop.sent.sent) == sorted(set(shop.sent.sent))
    assert count_pending() == 0


def test_finished_changes_are_deleted_after_30_days(
    shop: Shop, withdrawn: Purge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "KEPT_CHANGES", 1)
    newest = shop.register("bob").customer.subject
    assert prune(at(40 * 86_400)) == 2  # not the withdrawal, whose purge was not sent
    relay_due(at(6))
    assert prune(at(29 * 86_400)) == 0
    assert prune(at(40 * 86_400)) == 1
    assert PermissionChange.objects.get().subject == newest


def test_changes_that_the_journal_was_not_compared_with_stay(
    shop: Shop, withdrawn: Purge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "KEPT_CHANGES", 1)
    monkeypatch.setattr(relay, "settings", lambda: Settings(journal_topic="consent.journal"))
    relay_due(at(6))
    assert prune(at(40 * 86_400)) == 0
    PermissionChange.objects.update(journaled_at=at(6))
    checkpoint = JournalCheckpoint.objects.create(pk=1, topic="consent.journal", compared_at=at(5))
    assert prune(at(40 * 86_400)) == 0
    checkpoint.compared_at = at(7)
    checkpoint.save()
    assert prune(at(40 * 86_400)) == 2
