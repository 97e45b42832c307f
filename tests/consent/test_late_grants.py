"""Late grants: an answer's start is never before the store had the grant."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pytest

from featurestore.consent import late_grants, services
from featurestore.consent.models import CurrentPermission, PermissionChange
from featurestore.consent.outbox import publication
from featurestore.consent.outbox.relay import relay_due
from featurestore.permission import Denial, Permission, PurposePermission
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import PublishResult
from tests.kit.clock import at, ms
from tests.kit.shop import Shop


class SlowClock:
    """The database's clock; it advances by some seconds with each publication."""

    def __init__(self, store: MemoryStore, seconds: list[float]):
        self.store, self.now_s, self.seconds = store, 0.0, seconds
        self.publish_permissions = store.publish_permissions

    def __call__(self) -> datetime:
        return at(self.now_s)

    def publish(self, permissions: Mapping[str, Permission], *rest: int) -> dict[str, PublishResult]:
        results = self.publish_permissions(permissions, *rest)
        self.now_s += self.seconds.pop(0) if self.seconds else 0.01
        return results


@pytest.fixture
def slow(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SlowClock]:
    """Publications that take so many seconds each, then none."""

    def begin(*seconds: float) -> SlowClock:
        clock = SlowClock(shop.store, list(seconds))
        monkeypatch.setattr(shop.store, "publish_permissions", clock.publish)
        for module in (late_grants, publication):
            monkeypatch.setattr(module, "database_now", clock)
        monkeypatch.setattr("featurestore.consent.change_sequence.database_now", clock)
        return clock

    return begin


def give(**more: object) -> services.RecordedDecision:
    return services.give("ann", "service", notice="privacy/1/en", method="web", actor="shop", **more)


def granted(shop: Shop, subject: str, purpose: str = "service") -> PurposePermission:
    granted = shop.read(subject, purpose)
    assert isinstance(granted, PurposePermission)
    return granted


def test_grant_that_the_store_gets_in_time_keeps_its_start(shop: Shop, slow: Callable) -> None:
    ann = shop.register().customer
    slow(0.9)
    decided = give()
    assert decided.since == at(1)
    assert granted(shop, ann.subject).start_ms == ms(at(1))


def test_late_grant_starts_later_in_store_database_and_answer(shop: Shop, slow: Callable) -> None:
    ann = shop.register().customer
    slow(5)
    decided = give()
    assert (decided.effective, decided.since) == (True, at(6))
    assert granted(shop, ann.subject) == PurposePermission(True, decided.sequence, ms(at(6)))
    assert CurrentPermission.objects.get(purpose__name="service").since == at(6)


def test_grant_starts_ever_later_until_the_store_has_it_before(shop: Shop, slow: Callable) -> None:
    ann = shop.register().customer
    slow(5, 1.5, 1.5)
    assert give().effective
    assert granted(shop, ann.subject).start_ms == ms(at(5 + 1.5 + 2))


def test_store_that_is_always_too_slow_leaves_the_grant_to_the_relay(shop: Shop, slow: Callable) -> None:
    shop.register()
    slow(*[100.0] * 5)
    assert not give().effective
    assert "too slowly" in PermissionChange.objects.filter(published_at=None).get().last_error


def test_relay_starts_a_late_grant_later(shop: Shop) -> None:
    ann = shop.register().customer
    shop.store.available = False
    decided = shop.give()
    shop.store.available = True
    relay_due(at(60))
    assert granted(shop, ann.subject) == PurposePermission(True, decided.sequence, ms(at(61)))


def test_late_change_moves_only_the_grant_that_it_began(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    shop.store.available = False
    shop.give("personalisation", when=10)
    shop.withdraw("analytics", when=11)
    shop.give(when=12, until=at(10_000))  # repeated: its end alone changes
    shop.store.available = True
    relay_due(at(60))
    assert granted(shop, ann.subject).start_ms == ms(at(1))
    assert granted(shop, ann.subject, "fraud").start_ms == ms(at(1))
    assert granted(shop, ann.subject, "personalisation").start_ms == ms(at(61))


def test_late_lifting_starts_later(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    services.pause("ann", "service", method="email", actor="petra", reason="asked", now=at(10))
    shop.store.available = False
    services.lift("ann", "service", method="email", actor="petra", reason="settled", now=at(20))
    shop.store.available = True
    relay_due(at(60))
    assert granted(shop, ann.subject).start_ms == ms(at(61))


def test_grant_withdrawn_meanwhile_is_not_started_again(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    shop.withdraw("analytics", when=5)
    shop.withdraw(when=5)
    late = late_grants.late_grants([ann.subject], [ann.subject], at(6))
    assert {row.purpose.name for row in late} == {"delivery", "fraud"}
    assert not isinstance(shop.read(ann.subject), PurposePermission)


def test_imported_consent_is_complete_from_the_import_on(shop: Shop) -> None:
    ann = shop.register().customer
    decided = shop.give(when=10, method="import", since=at(-5000))
    grant = granted(shop, ann.subject)
    assert (grant.since_ms, grant.start_ms) == (ms(at(-5000)), ms(at(11)))
    assert decided.since == at(-5000)


def test_import_before_its_history_is_complete_since_its_date(shop: Shop) -> None:
    ann = shop.register(since=at(-9000), history_follows=True).customer
    shop.give(method="import", since=at(-5000), history_follows=True)
    assert granted(shop, ann.subject).start_ms == ms(at(-5000))
    assert granted(shop, ann.subject, "fraud").start_ms == ms(at(-9000))


def test_vanished_permission_is_complete_from_its_return_on(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    shop.store.delete(ann.subject)
    assert publication.publish([ann.subject], at(60)) == {ann.subject}
    grant = granted(shop, ann.subject)
    assert (grant.since_ms, grant.start_ms) == (ms(at(1)), ms(at(61)))


def test_late_grant_starts_later_though_a_repeat_comes_between(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = shop.register().customer
    restart = publication.restart_counting

    def repeat_first(*args: Any, **more: Any) -> set[str]:
        monkeypatch.setattr(publication, "restart_counting", restart)
        with monkeypatch.context() as patch:  # another process, whose publication comes a little later
            patch.setattr("featurestore.consent.services.decisions.publish", lambda *_: set())
            shop.give(when=3, until=at(99_999))
        return restart(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr("featurestore.consent.services.decisions.publish", lambda *_: set())
        shop.give()
    monkeypatch.setattr(publication, "restart_counting", repeat_first)
    publication.publish({ann.subject}, at(3))
    assert granted(shop, ann.subject).start_ms == ms(at(4))
    assert not PermissionChange.objects.filter(published_at=None).exists()


def test_withdrawal_survives_a_stalled_publication_and_a_deleted_hash(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for purpose in ("analytics", "delivery", "fraud"):
        services.retire_purpose(purpose, at(-10))  # all that is left rests on consent
    ann = shop.register().customer
    shop.give()
    publish_permissions, stalled = shop.store.publish_permissions, []

    def stall(permissions: Mapping[str, Permission], *rest: Any) -> dict[str, PublishResult]:
        if not stalled:
            stalled.append(1)
            assert shop.withdraw(when=20).effective
            shop.store.delete(ann.subject)
        return publish_permissions(permissions, *rest)

    monkeypatch.setattr(shop.store, "publish_permissions", stall)
    assert publication.publish({ann.subject}, at(30)) == {ann.subject}
    assert shop.read(ann.subject) is Denial.REFUSED
    assert PermissionChange.objects.latest("sequence").purge, "purges of before were passed by"
