"""Runs of retention rules: what goes, what a hold keeps, and customers without activity."""

from datetime import timedelta

import pytest

from featurestore.accesslog.models import AccessRecord, ReadContext
from featurestore.config import settings
from featurestore.consent import services as consent
from featurestore.consent.models import CurrentPermission
from featurestore.customers.models import Customer, LegalHold
from featurestore.installed_catalog import catalog
from featurestore.jobs.job_leases import hold_job_lease
from featurestore.requests.actors import client
from featurestore.requests.erasure.models import Erasure
from featurestore.requests.services import Intake, receive
from featurestore.retention import runs
from featurestore.retention.errors import RunUnfinished, WrongRule
from featurestore.retention.models import RetentionRule, RetentionRun
from featurestore.retention.rules import add_rule
from featurestore.store.protocol import Watermark
from tests.kit.clock import T0, at, ms
from tests.kit.requests import seed_regimes
from tests.kit.shop import Shop
from tests.retention.test_evictions import NOW, Customers

DAYS = 30


def rule(kind: str, name: str, days: int | None = DAYS) -> RetentionRule:
    return RetentionRule.objects.create(
        kind=kind, name=name, days=days, effective_from=T0.date(), basis="policy 7", created_by="olivia", created_at=T0
    )


def run(applied: RetentionRule, *, dry_run: bool = False) -> RetentionRun:
    """A run, to its end."""
    started = runs.start(applied, dry_run=dry_run, actor="olivia", now=NOW)
    while started.finished_at is None:
        assert runs.apply_due(NOW) is not None
        started.refresh_from_db()
    return started


def counts(ended: RetentionRun) -> tuple[int, int, int]:
    return ended.gone, ended.held, ended.undecided


def hold(subject: str) -> None:
    LegalHold.objects.create(subject=subject, reason="a tax audit", begins_at=at(), placed_by="olivia")


# ------------------------------------------------------------------------------------------------ access records


@pytest.fixture
def reads(shop: Shop) -> list[str]:
    """Reads for two purposes of three subjects, 40 and 20 days ago; the third one is held."""
    subjects = ["a" * 32, "b" * 32, "c" * 32]
    hold(subjects[2])
    key = 0
    for purpose in ("service", "analytics"):
        context = ReadContext.objects.create(digest=purpose, client="bot", service="chat", purpose=purpose)
        for subject in subjects:
            for days_ago in (40, 20):
                key += 1
                AccessRecord.objects.create(
                    id=key, context=context, subject=subject, at=NOW - timedelta(days=days_ago), request_id=""
                )
    return subjects


def left(purpose: str) -> int:
    return AccessRecord.objects.filter(context__purpose=purpose).count()


def test_old_reads_of_a_purpose_go_and_a_hold_keeps_its_own(reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PAGE_READS", 1)
    applied = rule("reads", "service")
    assert counts(run(applied, dry_run=True)) == (2, 1, 0)
    assert (left("service"), left("analytics")) == (6, 6)
    assert counts(run(applied)) == (2, 1, 0)
    assert (left("service"), left("analytics")) == (4, 6)
    assert AccessRecord.objects.filter(context__purpose="service", subject=reads[2]).count() == 2
    assert counts(run(applied)) == (0, 1, 0)


def test_every_rule_in_force_is_applied_each_day(reads: list[str]) -> None:
    applied = [rule("reads", "service"), rule("reads", "analytics", 50)]
    rule("events", "orders")
    rule("reads", "ended", None)
    assert [found.rule for _ in range(2) if (found := runs.apply_due(NOW))] == applied
    assert runs.apply_due(NOW + timedelta(hours=23)) is None
    assert (left("service"), left("analytics")) == (4, 6)
    later = runs.apply_due(NOW + timedelta(hours=25))
    assert later is not None
    assert (later.rule, later.started_by) == (applied[0], "")


def test_what_can_not_be_started_is_refused(reads: list[str]) -> None:
    applied, replaced = rule("reads", "service"), rule("reads", "analytics")
    RetentionRule.objects.filter(pk=replaced.pk).update(effective_from=NOW.date() + timedelta(days=1))
    replaced.refresh_from_db()
    for wrong in (rule("events", "orders"), rule("reads", "personalisation", None), replaced):
        with pytest.raises(WrongRule):
            runs.start(wrong, dry_run=False, now=NOW)
    assert runs.start(replaced, dry_run=True, now=NOW)
    runs.start(applied, dry_run=False, now=NOW)
    with pytest.raises(RunUnfinished, match="has not ended"):
        runs.start(applied, dry_run=False, now=NOW)
    with hold_job_lease(runs.LEASE, 60, NOW):
        assert runs.apply_due(NOW) is None
    assert left("service") == 6


# ----------------------------------------------------------------------------------------------------- customers


@pytest.fixture
def customers(shop: Shop) -> Customers:
    """Customers of a year ago: one had an event lately, one was read, one decided, two are inactive; one of these has
    been evicted."""
    made = Customers(shop)
    for name, idle_days in (("active", 29), ("read", 31), ("decided", 31), ("inactive", 31), ("evicted", 99)):
        made.add(name, idle_days)
    made.read("read", 29)
    shop.give("analytics", customer_id="decided", when=(NOW - T0 - timedelta(days=29)).total_seconds())
    made.store.evict([made.subjects["evicted"]], 2**32)
    Customer.objects.update(created_at=at(-86_400), since=at(-86_400))
    fill_watermarks(made)
    return made


def fill_watermarks(customers: Customers) -> None:
    (node,) = customers.store.read([], [], [], 100).nodes
    for source in catalog().registry.sources:
        for partition in range(settings().partitions):
            customers.store.advance_watermark(source, partition, Watermark(1, 1, ms(T0), {}, node.incarnation))


def erasing(customers: Customers) -> set[str]:
    """The names of customers whose erasure was started."""
    keys = Erasure.objects.filter(cause="ended").values_list("customer_key", flat=True)
    return set(Customer.objects.filter(pk__in=list(keys)).values_list("customer_id", flat=True))


def test_customers_without_activity_are_erased(customers: Customers) -> None:
    applied = rule("customers", "eu")
    assert counts(run(applied, dry_run=True)) == (2, 0, 0)
    assert erasing(customers) == set()
    assert counts(run(applied)) == (2, 0, 0)
    assert erasing(customers) == {"inactive", "evicted"}
    assert {one.started_by for one in Erasure.objects.all()} == {str(applied)}
    assert counts(run(applied)) == (0, 0, 0), "again starts no second erasure"
    assert counts(run(rule("customers", "us"))) == (0, 0, 0)


def test_a_hold_keeps_a_customer(customers: Customers) -> None:
    hold(customers.subjects["inactive"])
    assert counts(run(rule("customers", "eu"))) == (1, 1, 0)
    assert erasing(customers) == {"evicted"}


def test_an_evicted_customer_with_a_later_event_is_active(customers: Customers) -> None:
    customers.store.evict([customers.subjects["active"]], 2**32)
    run(rule("customers", "eu"))
    assert erasing(customers) == {"inactive", "evicted"}


def test_a_store_that_lacks_values_proves_nobody_inactive(customers: Customers) -> None:
    customers.store._fields.clear()
    source = next(iter(catalog().registry.sources))
    for partition in range(settings().partitions):
        del customers.store._watermarks[source, partition]
    assert counts(run(rule("customers", "eu"))) == (0, 0, 3)
    assert erasing(customers) == set()


@pytest.mark.parametrize("lost", ["permission", "hash", "vouch key"])
def test_a_subject_of_which_the_store_knows_nothing_is_not_inactive(customers: Customers, lost: str) -> None:
    subject = customers.subjects["inactive"]
    if lost == "permission":
        del customers.store._permissions[subject]
    elif lost == "hash":
        customers.store.delete(subject)
    else:
        customers.store._vouch = None
    ended = run(rule("customers", "eu"))
    assert "inactive" not in erasing(customers)
    assert ended.undecided > 0


def test_a_store_that_does_not_answer_is_tried_again(customers: Customers) -> None:
    started = runs.start(rule("customers", "eu"), dry_run=False, now=NOW)
    customers.store.available = False
    runs.apply_due(NOW)
    started.refresh_from_db()
    assert (started.finished_at, started.error) == (None, "The store does not answer: store is unavailable")
    customers.store.available = True
    runs.apply_due(NOW)
    started.refresh_from_db()
    assert (started.finished_at, started.error, started.gone) == (NOW, "", 2)


def test_who_has_an_open_request_stays(customers: Customers) -> None:
    seed_regimes()
    receive(Intake("access", "gdpr", "api", "inactive", attested=True), client("shop"), at(100))
    assert counts(run(rule("customers", "eu"))) == (1, 0, 0)
    assert erasing(customers) == {"evicted"}


def test_one_run_starts_few_erasures(customers: Customers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST_ERASURES", 1)
    monkeypatch.setattr(runs, "PAGE_CUSTOMERS", 1)
    applied = rule("customers", "eu")
    assert counts(run(applied)) == (1, 0, 0)
    assert counts(run(applied)) == (1, 0, 0)
    assert erasing(customers) == {"inactive", "evicted"}


def test_customer_whose_purposes_are_paused_is_not_erased_by_a_rule(customers: Customers) -> None:
    consent.pause("inactive", "service", method="web", actor="shop", reason="a law suit", now=at(3600))
    rule("customers", "eu")
    runs.apply_due(NOW + timedelta(days=60))
    assert CurrentPermission.objects.get(customer__customer_id="inactive", purpose__name="service").paused
    assert "inactive" not in erasing(customers)


def test_a_mistaken_rule_can_be_ended_on_the_day_it_was_added(customers: Customers) -> None:
    add_rule("customers", "eu", 180, NOW.date(), "a mistake", actor="olivia", now=NOW)
    add_rule("customers", "eu", None, NOW.date(), "ended at once", actor="olivia", now=NOW)


def test_run_of_a_rule_that_was_ended_meanwhile_erases_nobody_more(customers: Customers) -> None:
    begun = rule("customers", "eu")
    customers.store.available = False
    waiting = runs.apply_due(NOW)
    assert waiting is not None
    assert waiting.finished_at is None
    add_rule("customers", "eu", None, NOW.date(), "it was wrong", actor="olivia", now=NOW)
    assert begun.effective_from < NOW.date()
    customers.store.available = True
    runs.apply_due(NOW + timedelta(days=3))
    assert erasing(customers) == set()
