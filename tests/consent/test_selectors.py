"""Readers of consent: figures of the first admin page, and timelines."""

from datetime import timedelta

from featurestore.consent import selectors, services
from featurestore.consent.models import PermissionChange
from featurestore.consent.outbox.relay import relay_due
from featurestore.consent.selectors import OutboxBacklog, PropagationDelay
from tests.kit.clock import at
from tests.kit.shop import Shop


def test_decisions_are_counted_for_every_day(shop: Shop) -> None:
    day = 86_400
    shop.register(when=0)
    shop.give(when=0, until=at(2 * day + 5))
    shop.give("personalisation", when=10)
    shop.withdraw("personalisation", when=day)
    services.expire_due(at(2 * day + 10))
    days = selectors.decisions_by_day(4, now=at(3 * day))
    assert [(row.given, row.withdrawn, row.expired) for row in days] == [(2, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]
    assert days[-1].day == at(3 * day).date()


def test_propagation_delay_is_measured_over_the_last_day(shop: Shop) -> None:
    assert selectors.propagation_delay(at()) == PropagationDelay(0, None, None)
    shop.register()
    for n in range(99):
        shop.give(when=n)
    first = PermissionChange.objects.order_by("sequence")
    for n, change in enumerate(first):
        PermissionChange.objects.filter(pk=change.pk).update(published_at=change.created_at + timedelta(milliseconds=n))
    assert selectors.propagation_delay(at(200)) == PropagationDelay(100, 49.0, 98.0)
    assert selectors.propagation_delay(at(2 * 86_400)) == PropagationDelay(0, None, None)


def test_propagation_delay_leaves_out_what_was_recorded_before_the_store_was_up(shop: Shop) -> None:
    shop.store.available = False
    for customer_id in ("early", "earlier", "earliest"):
        shop.register(customer_id)
    shop.store.available = True
    relay_due(at(9))
    assert not PermissionChange.objects.filter(published_at=None).exists()
    assert selectors.propagation_delay(at(10)) == PropagationDelay(3, 0.0, 0.0), "the late grants, which start again"
    shop.register("late", when=20)
    assert selectors.propagation_delay(at(30)).changes == 4
    shop.store.available = False
    shop.register("during an outage", when=40)
    shop.store.available = True
    relay_due(at(3000))
    assert selectors.propagation_delay(at(3001)).changes == 6, "an outage counts"


def test_outbox_backlog_counts_changes_and_the_oldest_age(shop: Shop) -> None:
    shop.register()
    shop.give()
    assert selectors.outbox_backlog(at(5)) == OutboxBacklog(0, 0, 0.0)
    shop.withdraw(when=10)
    shop.store.available = False
    shop.give("personalisation", when=20)
    assert selectors.outbox_backlog(at(40)) == OutboxBacklog(unpublished=1, unsent_purges=1, oldest_s=30.0)
    shop.store.available = True
    relay_due(at(3000))
    assert selectors.outbox_backlog(at(3001)) == OutboxBacklog(0, 0, 0.0)


def test_timeline_lists_the_newest_record_first(shop: Shop) -> None:
    shop.register()
    shop.register("bob")
    shop.give()
    shop.give(customer_id="bob")
    shop.withdraw(when=5)
    assert [entry.decision for entry in selectors.timeline("ann")] == ["withdrawn", "given"]
    assert [(row.purpose.name, row.allowed) for row in selectors.current_permissions("ann")] == [
        ("analytics", True),
        ("delivery", True),
        ("fraud", True),
        ("service", False),
    ]
