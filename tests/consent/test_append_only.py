"""Records and published notices are immutable, for our code and for every database client."""

import pytest
from django.db import DatabaseError, connection, transaction

from featurestore.consent.errors import ImmutableRecord
from featurestore.consent.models import ConsentRecord, Notice
from tests.kit.clock import at
from tests.kit.shop import Shop


@pytest.fixture
def record(shop: Shop) -> ConsentRecord:
    shop.register()
    return shop.give().record


def sql(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_record_is_neither_saved_again_nor_deleted(record: ConsentRecord) -> None:
    record.reason = "changed"
    with pytest.raises(ImmutableRecord):
        record.save()
    with pytest.raises(ImmutableRecord):
        record.delete()


def test_records_are_not_changed_in_bulk(record: ConsentRecord) -> None:
    with pytest.raises(ImmutableRecord):
        ConsentRecord.objects.update(reason="changed")
    with pytest.raises(ImmutableRecord):
        ConsentRecord.objects.all().delete()
    with pytest.raises(ImmutableRecord):
        ConsentRecord.objects.bulk_update([record], ["reason"])


def test_database_refuses_changes_of_records_and_notices(record: ConsentRecord) -> None:
    for statement in (
        "UPDATE consent_consentrecord SET reason = 'x'",
        "UPDATE consent_notice SET body = 'x'",
        "UPDATE consent_permissionstate SET allowed = false",
    ):
        with pytest.raises(DatabaseError, match="append-only"):
            sql(statement)


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_database_deletes_records_of_erased_customers_only(record: ConsentRecord) -> None:
    with pytest.raises(DatabaseError, match="append-only"):
        sql("DELETE FROM consent_consentrecord")
    with pytest.raises(DatabaseError, match="append-only"):
        sql("DELETE FROM consent_notice")
    with pytest.raises(DatabaseError, match="append-only"):
        sql("DELETE FROM consent_permissionstate")
    type(record.customer).objects.update(erased_at=at())
    sql("DELETE FROM consent_consentrecord")
    assert not ConsentRecord.objects.exists()


def test_notice_is_neither_saved_again_nor_deleted(shop: Shop) -> None:
    notice = Notice.objects.get()
    notice.body = "Something else."
    with pytest.raises(ImmutableRecord):
        notice.save()
    with pytest.raises(ImmutableRecord):
        notice.delete()


def test_customer_with_records_is_not_deleted(record: ConsentRecord) -> None:
    with pytest.raises(DatabaseError):
        record.customer.delete()
