"""Entry of the audit log of a consent record."""

from featurestore.auditlog.entries import Entry
from featurestore.clock import milliseconds
from featurestore.consent.models import ConsentRecord


def entry_of(record: ConsentRecord) -> Entry:
    """What the log says of a record, with the sequence by which it is found."""
    details = {
        "decided_at_ms": milliseconds(record.decided_at),
        "method": record.method,
        "notice": record.notice.reference if record.notice else None,
        "purpose": record.purpose.name,
        "reason": record.reason,
        "sequence": record.sequence,
        "since_ms": milliseconds(record.since),
        "superseded": record.superseded,
        "until_ms": milliseconds(record.until) if record.until else None,
    }
    return Entry(f"consent.{record.decision}", record.at, details, record.actor, record.customer.subject)
