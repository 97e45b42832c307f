"""Consent register: every decision of every customer, as it was recorded."""

from collections.abc import Iterator

from featurestore.compliance.report import Column, ColumnType, Period, Report, Row, keyset_pages
from featurestore.consent.models import ConsentRecord

COLUMNS = (
    Column("sequence", ColumnType.INTEGER, "number of the record; later records have higher ones"),
    Column("customer_id", ColumnType.TEXT, "the shop's id of the customer; of an erased one its pseudonym"),
    Column("purpose", ColumnType.TEXT, "what the decision is about"),
    Column("lawful_basis", ColumnType.TEXT, "basis of the purpose"),
    Column("decision", ColumnType.TEXT, "given, withdrawn, expired, paused or lifted"),
    Column("decided_at", ColumnType.TIME, "when it was decided; of an expiry, when the consent ended"),
    Column("recorded_at", ColumnType.TIME, "when it was recorded; the period is about this time"),
    Column("since", ColumnType.TIME, "from when it counts"),
    Column("until", ColumnType.TIME, "until when it counts; empty: it has no end"),
    Column("superseded", ColumnType.BOOLEAN, "a newer decision had been recorded before: this one changed nothing"),
    Column("method", ColumnType.TEXT, "how the customer decided"),
    Column("notice", ColumnType.TEXT, "name, version and language of the notice that was shown"),
    Column("notice_sha256", ColumnType.TEXT, "SHA-256 of the notice's text"),
    Column("actor", ColumnType.TEXT, "the user or API client that recorded it"),
    Column("reason", ColumnType.TEXT, "reason in free text"),
)


def _rows(period: Period) -> Iterator[Row]:
    found = ConsentRecord.objects.filter(period.of("at")).select_related("customer", "purpose", "notice")
    for record in keyset_pages(found, "sequence"):
        yield (
            record.sequence,
            record.customer.customer_id,
            record.purpose.name,
            record.purpose.lawful_basis,
            record.decision,
            record.decided_at,
            record.at,
            record.since,
            record.until,
            record.superseded,
            record.method,
            record.notice.reference if record.notice else "",
            record.notice.sha256 if record.notice else "",
            record.actor,
            record.reason,
        )


CONSENT_REGISTER = Report(
    "consent-register",
    "Consent register",
    "Customers' ids and what each decided, when, how and why.",
    COLUMNS,
    _rows,
)
