"""What a customer allowed at a past time and who read what on the day before it, as a document to be signed.

With a client it answers: what could this client know of this customer, and did it read it? The customer is named by
subject. The document is the same text at each call while nothing is deleted that it is made of.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q

from featurestore.access.models import ApiClient
from featurestore.access.scopes import Scope
from featurestore.accesslog.models import AccessRecord
from featurestore.accesslog.selectors import reads_of
from featurestore.config import settings
from featurestore.consent.as_of import PurposeAsOf, permissions_as_of
from featurestore.customers.models import Customer
from featurestore.customers.selectors import stored_subject
from featurestore.profiles.errors import UnknownClient

KIND = "as_of"
"""Kind of the document in the audit log."""
READS_BEFORE = timedelta(days=1)
MOST_READS = 1_000


def customer_of(text: str) -> str:
    """The id of the customer who has it or this subject; the text itself if nobody has."""
    if Customer.objects.filter(subject=stored_subject(text), erased_at=None).exists():
        return text
    found = Customer.objects.filter(subject=text, erased_at=None).values_list("customer_id", flat=True).first()
    return found or text


def as_of_document(
    customer_id: str, at: datetime, client: str = "", purposes: Collection[str] | None = None
) -> tuple[dict[str, Any], str]:
    """The document about a customer, and the customer's subject. ``client``: the one that is asked about, if any.
    ``purposes``: those that are told; all, unless they are named.

    Of an erased customer none is made: its entry of the audit log would name them again. Raises ConsentError for a
    customer who is not registered and a time in the future, UnknownClient.
    """
    found = [one for one in permissions_as_of(customer_id, at) if purposes is None or one.purpose.name in purposes]
    subject, since = stored_subject(customer_id), at - READS_BEFORE
    reads = reads_of(subject, since, at, [one.purpose.name for one in found], MOST_READS, client)
    document = {
        "type": "what was allowed and read, as of a time",
        "controller": settings().organisation,
        "subject": subject,
        "at": _text(at),
        "asked_about": "all purposes" if purposes is None else sorted(purposes),
        "purposes": [_purpose(one) for one in found],
        "client": _client(client, at) if client else None,
        "reads_since": _text(since),
        "reads": [_read(one) for one in reads.records],
        "reads_complete": reads.complete,
    }
    return document, subject


def _purpose(one: PurposeAsOf) -> dict[str, Any]:
    return {
        "purpose": one.purpose.name,
        "lawful_basis": one.purpose.lawful_basis,
        "allowed": one.allowed,
        "reason": one.reason.value if one.reason else None,
        "since": _text(one.since),
        "until": _text(one.until),
        "recorded_at": _text(one.recorded_at),
        "record": one.record.sequence if one.record else None,
        "decision": one.record.decision if one.record else None,
        "notice": one.notice.reference if one.notice else None,
        "notice_sha256": one.notice.sha256 if one.notice else None,
    }


def _client(name: str, at: datetime) -> dict[str, Any]:
    """What a client's keys were good for then. Tokens last minutes: of them only what they may name today is known."""
    client = ApiClient.objects.filter(name=name).first()
    if client is None:
        raise UnknownClient(f"No API client has the name {name!r}: the administration lists them.")
    valid = Q(created_at__lte=at, expires_at__gt=at) & (Q(revoked_at=None) | Q(revoked_at__gt=at))
    keys = [key for key in client.keys.filter(valid).order_by("key_id") if Scope.FEATURES_READ in key.scopes]
    tokens = {"services": sorted(client.services), "purposes": sorted(client.purposes)}
    return {
        "name": name,
        "keys": [
            {"key": key.key_id, "services": sorted(key.services), "purposes": sorted(key.purposes)} for key in keys
        ],
        "tokens_today": tokens if client.secrets.filter(valid).exists() else None,
    }


def _read(record: AccessRecord) -> dict[str, Any]:
    context = record.context
    return {
        "at": _text(record.at),
        "client": context.client,
        "service": context.service,
        "purpose": context.purpose,
        "given": context.given,
        "withheld": context.withheld,
        "request_id": record.request_id,
    }


def _text(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None
