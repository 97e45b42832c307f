"""Late grants: those of which events may have been passed by before the store had them. They get a later start.

The streams skip the events of a subject that the store has no permission of, and deny those that no grant allows yet,
or not any more. So a grant is late if

- it had begun when the store got it: its change was published late,
- it was renewed, and its earlier end was near or over when the store got the renewal,
- or the subject's hash had vanished from the store.

While a store is not vouched for, the streams wait and pass nothing by.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Q

from featurestore.clock import database_now, milliseconds
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.change_writer import ChangeWriter, state_of_row
from featurestore.consent.models import ConsentRecord, CurrentPermission, PermissionChange
from featurestore.consent.permission_derivation import START_DELAY_MS, Decision, after_restart

log = structlog.get_logger(__name__)

Unpublished = Mapping[int, datetime]
"""Changes that were not published before: the time of their recording by sequence."""
END_MARGIN = timedelta(seconds=5)
"""So long before its end a grant may count as over: a stream worker's clock may be ahead (``streams.clock_check``)."""


def late_grants(
    subjects: Collection[str], recreated: Collection[str] = (), at: datetime | None = None
) -> list[CurrentPermission]:
    """The grants of subjects that are late if the store gets them, or got them, at a time.

    ``recreated``: the subjects whose permission had vanished from it; their paused grants are late, too. A new grant
    that begins before its own recording is an import whose history follows: nothing was sent before, so it is not late.
    """
    unpublished = PermissionChange.objects.filter(subject__in=subjects, published_at=None)
    changes = dict(unpublished.values_list("sequence", "created_at"))
    if not changes and not recreated:
        return []
    renewed = set(ConsentRecord.objects.filter(_renewing(changes)).values_list("customer_id", "purpose_id"))
    suspects = CurrentPermission.objects.filter(
        Q(start_sequence__in=changes, paused=False)
        | Q(customer__in={customer for customer, _ in renewed}, paused=False)
        | Q(customer__subject__in=recreated),
        allowed=True,
    ).select_related("customer", "purpose")
    at = at or database_now()
    begun = [row for row in suspects if start_of(row) <= at]
    ends = _ends_in_store(begun, changes) if renewed else {}
    late = []
    for row in begun:
        recorded_at, end = changes.get(row.start_sequence), ends.get(row.pk)
        if (
            row.customer.subject in recreated
            or (recorded_at and start_of(row) > recorded_at)
            or (end and end <= at + END_MARGIN and (row.until is None or row.until > end))
        ):
            late.append(row)
    return late


def _renewing(changes: Collection[int]) -> Q:
    return Q(sequence__in=changes, decision=Decision.GIVEN, superseded=False)


def _ends_in_store(rows: Collection[CurrentPermission], changes: Collection[int]) -> dict[int, datetime | None]:
    """The ends of grants as the store has them, which lacks some changes: by the row's key."""
    keys = {(row.customer_id, row.purpose_id): row for row in rows}
    records = ConsentRecord.objects.filter(customer__in={row.customer_id for row in rows}, superseded=False)
    found = {}
    for customer, purpose, sequence, until in records.order_by("sequence").values_list(
        "customer_id", "purpose_id", "sequence", "until"
    ):
        row = keys.get((customer, purpose))
        if row is not None and sequence >= row.grant_id and sequence not in changes:
            found[row.pk] = until
    return found


def start_of(row: CurrentPermission) -> datetime:
    """The time from which on every event of a grant is counted."""
    assert row.since is not None  # a constraint: allowed_has_grant
    return max(row.since, row.complete_from or row.since)


def restart_counting(
    subjects: Collection[str],
    recreated: Collection[str] = (),
    now: datetime | None = None,
    delay_ms: int = START_DELAY_MS,
    at: datetime | None = None,
) -> set[str]:
    """Give late grants a later start, so long from now; the subjects with a new version, which the caller publishes.

    ``at``: when the store gets them, if that is not now. The streams are sent a purge, by which they push every value
    of the subject again.
    """
    by_customer = defaultdict(list)
    if not late_grants(subjects, recreated, at or now):
        return set()
    with transaction.atomic(durable=True):
        writer = ChangeWriter(lock_change_sequence(now))
        unpublished = PermissionChange.objects.filter(subject__in=subjects, published_at=None)
        changes = set(unpublished.values_list("sequence", flat=True))
        for row in late_grants(subjects, recreated, at or now):  # under the lock: no decision comes between
            by_customer[row.customer].append(row)
        writer.load_states(by_customer)
        start_ms = milliseconds(writer.change_sequence.at) + delay_ms
        for customer, rows in by_customer.items():
            states = {
                row.purpose: after_restart(state_of_row(row), start_ms, counted=row.start_sequence not in changes)
                for row in rows
            }
            writer.add_change(customer, states)
        if by_customer:
            writer.write()
    restarted = {customer.subject for customer in by_customer}
    if restarted:
        log.warning("the store had grants too late: they start later", subjects=len(restarted))
    return restarted


def note_late_pauses(changes: Unpublished, now: datetime | None = None) -> None:
    """Note of pauses that the store has only now, more than START_DELAY_MS after their recording, that events of the
    pause may have been counted. ``changes``: those that the store has now.
    """
    latest = (now or database_now()) - timedelta(milliseconds=START_DELAY_MS)
    late = [sequence for sequence, recorded_at in changes.items() if recorded_at < latest]
    paused = CurrentPermission.objects.filter(start_sequence__in=late, allowed=True, paused=True, late_pause=False)
    if not late or not paused.exists():
        return
    with transaction.atomic(durable=True):
        lock_change_sequence(now)
        paused.update(late_pause=True)
