"""Permissions on their way from the database to the store. Puts are fenced, so that any of them may be repeated."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

import structlog

from featurestore.consent.ledger import current, database_now, milliseconds
from featurestore.consent.models import CurrentPermission, PermissionChange, SubjectVersion
from featurestore.consent.permissions import State, permission
from featurestore.online import stores
from featurestore.online.permission import Permission
from featurestore.online.store import Put, StoreUnavailable

log = structlog.get_logger(__name__)

BATCH = 1000
UNVOUCHED = "nobody vouches for the store: is `manage.py vouch` running?"
T = TypeVar("T")


def batches(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def state_of(row: CurrentPermission) -> State:
    """The state that a row holds."""
    since_ms, until_ms, ended_ms = (milliseconds(at) if at else 0 for at in (row.since, row.until, row.ended_at))
    return State(row.allowed, row.grant, since_ms, until_ms, ended_ms)


def permissions_of(subjects: Collection[str]) -> dict[str, Permission]:
    """The permissions of subjects that the database knows; it does not list the others.

    The version is read before the rows: a change that commits between the two makes rows newer than their fence says,
    and is put again under its own. The other way about would fence old rows with a new version.
    """
    epoch = current().epoch
    versions = dict(SubjectVersion.objects.filter(subject__in=subjects).values_list("subject", "sequence"))
    states: dict[str, dict[str, State]] = {subject: {} for subject in versions}
    rows = CurrentPermission.objects.filter(customer__subject__in=versions).select_related("customer", "purpose")
    for row in rows:
        states[row.customer.subject][row.purpose.name] = state_of(row)
    return {subject: permission(epoch, sequence, states[subject]) for subject, sequence in versions.items()}


def put(subjects: Collection[str], now: datetime | None = None) -> set[str]:
    """Put the present permissions of subjects; those returned are in effect, the others are left to the relay.

    Never raises StoreUnavailable: the change is recorded, and an unreachable store denies.
    """
    in_effect: set[str] = set()
    for batch in batches(sorted(subjects)):
        permissions = permissions_of(batch)
        reason = UNVOUCHED
        try:
            done = settle(permissions, stores.store().put_permissions(permissions), now)
        except StoreUnavailable as error:
            done, reason = set(), str(error)
        in_effect |= done
        if left := [subject for subject in batch if subject not in done]:
            log.warning("permissions left to the relay", subjects=len(left), reason=reason)
            PermissionChange.objects.filter(subject__in=left, put_at=None).update(last_error=reason[:300])
    return in_effect


def settle(permissions: dict[str, Permission], puts: dict[str, Put], now: datetime | None = None) -> set[str]:
    """Mark as put what a vouched store holds; the subjects whose present permission is in effect."""
    outrun = [subject for subject, result in puts.items() if result.newer]
    versions = dict(SubjectVersion.objects.filter(subject__in=outrun).values_list("subject", "sequence"))
    done = set()
    for subject, result in puts.items():
        if result.newer and versions[subject] <= permissions[subject].sequence:
            # The store knows a change that the database does not.
            log.error("the store is ahead of the database: was it restored? Run manage.py raise_epoch")
        elif result.vouched:
            done.add(subject)
    waiting = PermissionChange.objects.filter(subject__in=done, put_at=None).values_list("pk", "subject", "sequence")
    finished = [pk for pk, subject, sequence in waiting if sequence <= permissions[subject].sequence]
    if finished:
        PermissionChange.objects.filter(pk__in=finished).update(put_at=now or database_now(), last_error="")
    return done
