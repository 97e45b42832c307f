"""Inactivity: which customers had neither a decision, nor a read, nor an event since a time.

The time of the last event is known to the store alone: from each view's values, or from the mark of an evicted
subject. A store that lacks values, because they are being pushed again, tells nothing: then nobody is inactive.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from django.db.models import Q, QuerySet

from featurestore.accesslog.models import AccessRecord
from featurestore.config import settings
from featurestore.consent.models import ConsentRecord, CurrentPermission
from featurestore.customers.models import Customer
from featurestore.identity import partition_of
from featurestore.installed_catalog import catalog
from featurestore.requests.models import SubjectRequest
from featurestore.requests.states import ENDED
from featurestore.store import configured
from featurestore.store.protocol import StoredSubject
from featurestore.tiles.stored_field import newest_s_of

READ_TIMEOUT_MS = 5_000


class Verdict(StrEnum):
    """Whether a customer had an event since a time."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    UNKNOWN = "unknown"


def quiet_customers(region: str, before: datetime) -> QuerySet[Customer]:
    """Customers of a region who are older than a time, had no decision, read or open request since, and of whom no
    purpose is paused: what is paused is kept for the customer.
    """
    old = Customer.objects.filter(region=region, erased_at=None, created_at__lt=before, since__lt=before)
    decided = ConsentRecord.objects.filter(Q(decided_at__gte=before) | Q(at__gte=before))
    open_requests = SubjectRequest.objects.exclude(state__in=ENDED)
    return (
        old.exclude(pk__in=decided.values("customer"))
        .exclude(pk__in=CurrentPermission.objects.filter(paused=True).values("customer"))
        .exclude(subject__in=AccessRecord.objects.filter(at__gte=before).values("subject"))
        .exclude(subject__in=open_requests.exclude(subject="").values("subject"))
    )


def verdicts(subjects: Sequence[str], before_s: int) -> list[Verdict]:
    """Whether subjects had an event since a second, in order. Raises StoreUnavailable."""
    store, partitions = configured.store(), settings().partitions
    keys = [(source, n) for source in sorted(catalog().registry.sources) for n in range(partitions)]
    result = store.read(subjects, [], keys, READ_TIMEOUT_MS)
    contents = store.contents(subjects)
    found = []
    for subject, stored, fields in zip(subjects, result.subjects, contents, strict=True):
        own = [i for i, (_, partition) in enumerate(keys) if partition == partition_of(subject, partitions)]
        is_complete = all(
            (mark := stored.node.watermarks[i]) is not None and mark.incarnation == stored.node.incarnation for i in own
        )
        values = [raw for name, raw in fields.items() if "/" in name]
        found.append(_verdict(stored, values, before_s) if stored.vouched and is_complete else Verdict.UNKNOWN)
    return found


def _verdict(stored: StoredSubject, values: Sequence[bytes], before_s: int) -> Verdict:
    if stored.permission is None or (stored.recreation_mark is not None and not stored.is_evicted):
        return Verdict.UNKNOWN
    seconds = [newest_s_of(raw) for raw in values]
    if None in seconds:
        return Verdict.UNKNOWN
    newest_s = max([stored.evicted_event_s or 0, *(second or 0 for second in seconds)])
    return Verdict.ACTIVE if newest_s >= before_s else Verdict.INACTIVE
