"""Erasure of customers' permissions, and the one change of consent records that the database allows."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from featurestore.config import settings
from featurestore.consent.errors import UnknownCustomer
from featurestore.consent.models import ConsentRecord, CurrentPermission, KeptDenial, PermissionChange, SubjectVersion
from featurestore.consent.outbox.relay import relay_due
from featurestore.consent.services.erasure import erase_permissions, forget_subjects, redact_records
from featurestore.customers.models import Customer
from featurestore.permission import Denial
from tests.kit.clock import at
from tests.kit.shop import Shop

EMPTY = {"reason": "", "idempotency_key": "", "request_digest": ""}


@pytest.fixture
def customer(shop: Shop) -> Customer:
    """A customer with a consent, marked as nothing."""
    made = shop.register().customer
    shop.give(when=20, reason="said so")
    return made


def update(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE consent_consentrecord SET {statement}")


def test_erased_customer_is_denied_at_once_and_purged(shop: Shop, customer: Customer) -> None:
    assert erase_permissions([customer.pk], at(60)) > 1
    assert shop.stored(customer.subject).purposes == {}
    assert shop.read(customer.subject) is Denial.NO_RECORD
    assert not CurrentPermission.objects.exists()
    relay_due(at(70))
    assert shop.sent.sent[-1].subject == customer.subject
    assert PermissionChange.objects.latest("sequence").kind == PermissionChange.Kind.ERASURE


def test_erasure_is_repeatable(shop: Shop, customer: Customer) -> None:
    erase_permissions([customer.pk], at(60))
    changes = PermissionChange.objects.count()
    assert erase_permissions([customer.pk], at(90)) == 0
    assert PermissionChange.objects.count() == changes
    assert Customer.objects.get(pk=customer.pk).erased_at == at(60)


def test_erased_customer_decides_nothing_any_more(shop: Shop, customer: Customer) -> None:
    erase_permissions([customer.pk], at(60))
    with pytest.raises(UnknownCustomer):
        shop.give(when=90)
    assert not CurrentPermission.objects.exists()


def test_store_that_is_away_gets_the_denial_later(shop: Shop, customer: Customer) -> None:
    shop.store.available = False
    erase_permissions([customer.pk], at(60))
    assert PermissionChange.objects.filter(published_at=None).exists()
    shop.store.available = True
    relay_due(at(300))
    assert shop.stored(customer.subject).purposes == {}


def test_records_of_an_erased_customer_may_be_emptied_and_nothing_else(customer: Customer) -> None:
    with pytest.raises(DatabaseError, match="append-only"):
        update("reason = '', idempotency_key = '', request_digest = ''")
    assert redact_records(ConsentRecord.objects.values_list("pk", flat=True)) == 0, "the customer is not erased"
    erase_permissions([customer.pk], at(60))
    for column in ("method", "actor", "decision"):
        with pytest.raises(DatabaseError, match="append-only"):
            update(f"reason = '', idempotency_key = '', request_digest = '', {column} = 'x'")
    with pytest.raises(DatabaseError, match="append-only"):
        update("reason = 'another', idempotency_key = '', request_digest = ''")
    records = ConsentRecord.objects.count()
    assert redact_records(ConsentRecord.objects.values_list("pk", flat=True)) == records
    assert ConsentRecord.objects.filter(**EMPTY).count() == records


@pytest.mark.parametrize("field", [field.column for field in ConsentRecord._meta.fields])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_trigger_of_sqlite_compares_every_column(database: str, field: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sql FROM sqlite_master WHERE name = 'consent_record_update'")
        (text,) = cursor.fetchone()
    assert f"NEW.{field} = ''" in text or f"NEW.{field} IS OLD.{field}" in text


def test_versioned_denial_is_forgotten_after_the_journals_retention(shop: Shop, customer: Customer) -> None:
    erase_permissions([customer.pk], at(60))
    relay_due(at(70))
    PermissionChange.objects.update(purge_sent_at=at(70))
    retention = timedelta(days=settings().journal_retention_days)
    assert forget_subjects([customer.subject], at(60) + retention - timedelta(seconds=1)) == 0
    assert SubjectVersion.objects.filter(subject=customer.subject).exists()
    assert forget_subjects([customer.subject], at(60) + retention + timedelta(days=1)) == 1
    assert not SubjectVersion.objects.filter(subject=customer.subject).exists()
    assert shop.store.contents([customer.subject]) == [{}]


def test_present_customer_is_never_forgotten(shop: Shop, customer: Customer) -> None:
    assert forget_subjects([customer.subject], at(10**9)) == 0
    assert shop.stored(customer.subject) is not None


def test_kept_denial_of_an_erased_subject_goes(shop: Shop, customer: Customer) -> None:
    times = {"decided_at": at(), "recorded_at": at(), "since": at()}
    facts = {"purpose": "p", "state": "refused", "decision": "withdrawn", "method": "web", "actor": "a", "reason": "r"}
    KeptDenial.objects.create(subject=customer.subject, **facts, **times)
    erase_permissions([customer.pk], at(60))
    assert not KeptDenial.objects.exists()
