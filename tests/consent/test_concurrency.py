"""Concurrent changes, each on a database connection of its own."""

import threading

import pytest
from django.db import connections, transaction

from featurestore.consent.models import (
    ChangeSequence,
    ConsentRecord,
    CurrentPermission,
    PermissionChange,
    SubjectVersion,
)
from featurestore.consent.outbox.publication import permissions_of
from featurestore.customers.models import Customer
from featurestore.profiles.services import Registration, register_many
from tests.kit.clock import at
from tests.kit.shop import Shop
from tests.kit.threads import at_once


def test_concurrent_changes_of_a_subject_are_serialized(shop: Shop) -> None:
    ann = shop.register().customer

    def change_mind() -> None:
        for _ in range(5):
            shop.give(when=10)
            shop.withdraw(when=10)

    at_once(*[change_mind] * 6)
    records = list(ConsentRecord.objects.order_by("sequence"))
    assert len(records) == 60
    assert [record.sequence for record in records] == list(range(2, 62))
    row = CurrentPermission.objects.get(customer=ann, purpose__name="service")
    assert row.allowed == (records[-1].decision == "given")
    assert shop.stored(ann.subject) == permissions_of([ann.subject])[ann.subject]
    assert not PermissionChange.objects.filter(published_at=None).exists()

    held, grants = False, []
    for record in records:  # each record's grant is one that was given
        if record.decision == "given" and not held:
            grants.append(record.sequence)
        held = record.decision == "given"
    assert row.grant_id == grants[-1]


def test_concurrent_registrations_create_one_customer(shop: Shop) -> None:
    created = []
    at_once(*[lambda: created.append(shop.register().created)] * 6)
    assert sorted(created) == [False] * 5 + [True]
    assert Customer.objects.count() == 1


def test_concurrent_bulk_registrations_create_each_customer_once(shop: Shop) -> None:
    backfill = [Registration(f"c{n}", "eu", "acme") for n in range(300)]
    at_once(*[lambda: register_many(backfill, now=at())] * 3)
    assert Customer.objects.count() == SubjectVersion.objects.count() == 300


def test_reader_of_a_sequence_sees_every_earlier_change(shop: Shop) -> None:
    """The order of sequences is the order of commits: store verifier and relay rely on it."""
    for n in range(8):
        shop.register(f"c{n}")
    done, gaps = threading.Event(), []

    def look() -> None:
        while not done.is_set():
            last = ChangeSequence.objects.get().sequence
            if PermissionChange.objects.filter(sequence__lte=last).count() != last:
                gaps.append(last)

    def decide(n: int) -> None:
        for _ in range(8):
            shop.give(customer_id=f"c{n}")

    observer = threading.Thread(target=lambda: (look(), connections.close_all()))
    observer.start()
    try:
        at_once(*[lambda n=n: decide(n) for n in range(8)])
    finally:
        done.set()
        observer.join()
    assert gaps == []


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_change_waits_until_the_previous_one_commits(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.register()
    locked, go_on, order = threading.Event(), threading.Event(), []

    def hold() -> None:
        with transaction.atomic():
            ChangeSequence.objects.select_for_update().get()
            locked.set()
            go_on.wait(10)
            order.append("first")
        connections.close_all()

    def give() -> None:
        shop.give()
        order.append("second")
        connections.close_all()

    threads = [threading.Thread(target=hold), threading.Thread(target=give)]
    threads[0].start()
    locked.wait(10)
    threads[1].start()
    threads[1].join(0.3)
    go_on.set()
    for thread in threads:
        thread.join()
    assert order == ["first", "second"]
