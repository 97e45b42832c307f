"""Eviction runs: idle subjects lose their values in the store, others nothing; a run continues where it came to."""

from collections.abc import Callable
from datetime import datetime, timedelta
from struct import pack
from typing import Any

import pytest

from featurestore.accesslog.models import AccessRecord, ReadContext
from featurestore.config import settings
from featurestore.jobs.job_leases import hold_job_lease
from featurestore.retention import evictions
from featurestore.retention.errors import RunUnfinished, WrongDays
from featurestore.retention.models import EvictionRun
from featurestore.store.protocol import FieldWrite, StoreUnavailable
from featurestore.tiles.stored_field import pack_field
from tests.kit.clock import T0, at
from tests.kit.shop import Shop

DAYS = 30
NOW = T0 + timedelta(days=100)


class Customers:
    """Customers with values whose newest event was so many days before NOW; by name, their subjects."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.store, self.subjects = shop, shop.store, dict[str, str]()

    def add(self, name: str, idle_days: float) -> str:
        subject = self.shop.register(name).customer.subject
        grant = self.shop.give(customer_id=name).sequence
        newest_s = int((NOW - timedelta(days=idle_days)).timestamp())
        value = pack_field(1, 1, grant, pack("<IIHB", 7, newest_s, 1, 0) + b"cells")
        self.store.write([FieldWrite(subject, "spend/service", "service", value)], 0)
        self.subjects[name] = subject
        return subject

    def read(self, name: str, days_ago: float) -> None:
        """Record a read of a customer."""
        context, _ = ReadContext.objects.get_or_create(digest="d", client="bot", service="chat", purpose="service")
        AccessRecord.objects.create(
            id=AccessRecord.objects.count() + 1,
            context=context,
            subject=self.subjects[name],
            at=NOW - timedelta(days=days_ago),
        )

    @property
    def evicted(self) -> set[str]:
        stored = self.store.read(list(self.subjects.values()), [], [], 1_000).subjects
        return {name for name, one in zip(self.subjects, stored, strict=True) if one.is_evicted}


@pytest.fixture
def customers(shop: Shop) -> Customers:
    """One who had an event lately, one who was read lately, two who are idle."""
    made = Customers(shop)
    for name, idle_days in (("active", 29), ("read", 31), ("idle", 31), ("long idle", 99)):
        made.add(name, idle_days)
    made.read("read", 29)
    made.read("idle", 31)
    return made


def run(now: datetime = NOW, *, dry_run: bool = False, days: int = DAYS) -> EvictionRun:
    """A run, to its end."""
    started = evictions.start(days, dry_run=dry_run, actor="petra", now=now)
    while started.finished_at is None:
        assert evictions.evict_due(now) is not None
        started.refresh_from_db()
    return started


def counts(run: EvictionRun) -> tuple[int, int, int]:
    return run.subjects, run.evicted, run.kept_read


def test_who_had_no_event_and_no_read_is_evicted(customers: Customers) -> None:
    ended = run()
    assert customers.evicted == {"idle", "long idle"}
    assert counts(ended) == (4, 2, 1)
    assert ended.freed_bytes > 0
    assert counts(run()) == (4, 0, 1), "again changes nothing"
    assert all(customers.shop.stored(subject) for subject in customers.subjects.values())


def test_a_dry_run_counts_the_same_and_changes_nothing(customers: Customers) -> None:
    before = customers.store.contents(list(customers.subjects.values()))
    counted = run(dry_run=True)
    assert customers.store.contents(list(customers.subjects.values())) == before
    ended = run()
    assert counts(counted) == counts(ended)
    assert counted.freed_bytes == ended.freed_bytes


def test_a_run_continues_where_it_came_to(customers: Customers, monkeypatch: pytest.MonkeyPatch) -> None:
    evict, calls = customers.store.evict, 0

    def failing(*arguments: Any, **options: Any) -> list[int | None]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise StoreUnavailable("away")
        return evict(*arguments, **options)

    monkeypatch.setattr(customers.store, "evict", failing)
    started = evictions.start(DAYS, dry_run=False, actor="petra", now=NOW)
    evictions.evict_due(NOW)
    started.refresh_from_db()
    assert (started.finished_at, started.error) == (None, "The store does not answer: away")
    parts = started.next_part
    evictions.evict_due(NOW)
    started.refresh_from_db()
    assert (started.finished_at, started.error, customers.evicted) == (NOW, "", {"idle", "long idle"})
    assert started.next_part > parts


def test_a_call_ends_after_some_subjects(customers: Customers) -> None:
    started = evictions.start(DAYS, dry_run=False, actor="", now=NOW)
    for looked_at in (1, 2, 3, 4):
        evictions.evict_due(NOW, most_subjects=1)
        started.refresh_from_db()
        assert (started.subjects, started.finished_at) == (looked_at, None)
    evictions.evict_due(NOW, most_subjects=1)
    started.refresh_from_db()
    assert started.finished_at == NOW


def test_pages_of_a_part_miss_nobody(customers: Customers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evictions, "PART_DIGITS", 1)
    monkeypatch.setattr(evictions, "PARTS", 16)
    monkeypatch.setattr(evictions, "PAGE_SUBJECTS", 1)
    for number in range(16):
        customers.add(f"customer {number}", 40)
    assert counts(run()) == (20, 18, 1)


def test_a_run_is_due_each_day(customers: Customers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evictions, "settings", lambda: settings().model_copy(update={"idle_subject_days": DAYS}))
    first = evictions.evict_due(NOW)
    assert first is not None
    assert (first.started_by, first.idle_days, first.finished_at) == ("", DAYS, NOW)
    assert evictions.evict_due(NOW + timedelta(hours=23)) is None
    second = evictions.evict_due(NOW + timedelta(hours=25))
    assert second is not None
    assert second.pk != first.pk
    third = evictions.evict_due(NOW + timedelta(days=91))
    assert third is not None
    assert set(EvictionRun.objects.values_list("pk", flat=True)) == {third.pk, second.pk}


def test_nobody_is_evicted_by_itself_if_the_setting_is_zero(
    customers: Customers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evictions, "settings", lambda: settings().model_copy(update={"idle_subject_days": 0}))
    assert evictions.evict_due(NOW) is None
    assert EvictionRun.objects.count() == 0


@pytest.mark.parametrize("days", [0, -1, 36_501])
def test_a_number_of_days_that_makes_no_sense_is_refused(shop: Shop, days: int) -> None:
    with pytest.raises(WrongDays, match="number of days"):
        evictions.start(days, dry_run=True, actor="petra", now=NOW)


def test_a_second_run_is_refused_until_the_first_has_ended(customers: Customers) -> None:
    evictions.start(DAYS, dry_run=False, actor="petra", now=NOW)
    with pytest.raises(RunUnfinished, match="has not ended"):
        evictions.start(1, dry_run=False, actor="olivia", now=NOW)
    evictions.start(DAYS, dry_run=True, actor="olivia", now=NOW)
    for _ in range(2):
        evictions.evict_due(NOW)
    assert EvictionRun.objects.exclude(finished_at=None).count() == 2


def test_two_processes_do_not_work_at_once(customers: Customers) -> None:
    evictions.start(DAYS, dry_run=False, actor="petra", now=NOW)
    with hold_job_lease(evictions.LEASE, 60, NOW):
        assert evictions.evict_due(NOW) is None
    assert customers.evicted == set()


def test_two_runs_at_once_evict_everybody_once(customers: Customers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease of a process that hangs is taken by another one, and both go on."""
    evict = customers.store.evict

    def interrupted(*arguments: Any, **options: Any) -> list[int | None]:
        customers.store.evict = evict  # type: ignore[method-assign]
        other = EvictionRun.objects.get()
        evictions._advance(other, lease_of(), 10**6, NOW)
        assert customers.evicted == {"idle", "long idle"}
        return evict(*arguments, **options)

    def lease_of() -> Any:
        class Held:
            renew: Callable[[], bool] = staticmethod(lambda: True)

        return Held()

    monkeypatch.setattr(customers.store, "evict", interrupted)
    evictions.start(DAYS, dry_run=False, actor="petra", now=NOW)
    evictions.evict_due(NOW)
    assert customers.evicted == {"idle", "long idle"}
    assert EvictionRun.objects.get().finished_at == at((NOW - T0).total_seconds())
