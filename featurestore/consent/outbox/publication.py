"""Permissions on their way from the database to the store. Puts are fenced, so that any of them may be repeated."""

from collections.abc import Collection
from datetime import datetime

import structlog
from django.db.models.functions import Now

from featurestore.clock import milliseconds
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.models import CurrentPermission, PermissionChange, SubjectVersion
from featurestore.consent.purpose_states import PurposeState, derive_permission
from featurestore.jobs.batches import batches
from featurestore.permission import Permission
from featurestore.store import configured
from featurestore.store.protocol import PublishResult, StoreUnavailable

log = structlog.get_logger(__name__)

UNVOUCHED = "the store's node is away, or nobody vouches for it: is `manage.py verify_store` running?"


def state_of(row: CurrentPermission) -> PurposeState:
    """The state that a row holds."""
    return to_state(row.allowed, row.grant_id, row.since, row.until, row.ended_at)


def to_state(allowed: bool, grant_id: int, *times: datetime | None) -> PurposeState:
    return PurposeState(allowed, grant_id, *(milliseconds(at) if at else 0 for at in times))


def permissions_of(subjects: Collection[str], epoch: int | None = None) -> dict[str, Permission]:
    """The permissions of subjects that the database knows; it does not list the others.

    The version is read before the rows: a change that commits between the two makes rows newer than their fence says,
    and is put again under its own. The other way about would fence old rows with a new version.
    """
    epoch = load_change_sequence().epoch if epoch is None else epoch
    versions = dict(SubjectVersion.objects.filter(subject__in=subjects).values_list("subject", "sequence"))
    states: dict[str, dict[str, PurposeState]] = {subject: {} for subject in versions}
    retired: set[str] = set()
    rows = CurrentPermission.objects.filter(customer__subject__in=versions).values_list(
        "customer__subject", "purpose__name", "purpose__active", "allowed", "grant_id", "since", "until", "ended_at"
    )
    for subject, purpose, active, allowed, grant_id, since, until, ended_at in rows:
        states[subject][purpose] = to_state(allowed, grant_id, since, until, ended_at)
        if not active:
            retired.add(purpose)
    return {subject: derive_permission(epoch, sequence, states[subject], retired) for subject, sequence in versions.items()}


def publish(subjects: Collection[str], now: datetime | None = None) -> set[str]:
    """Publish the present permissions of subjects; those returned are in effect, the others are left to the relay.

    Never raises StoreUnavailable: the change is recorded, and an unreachable store denies.
    """
    in_effect: set[str] = set()
    for batch in batches(sorted(subjects)):
        change_sequence = load_change_sequence()  # read first: every change that it numbers is in the permissions
        permissions = permissions_of(batch, change_sequence.epoch)
        reason = UNVOUCHED
        try:
            done = vouched(permissions, configured.store().publish_permissions(permissions))
            if done:
                waiting = PermissionChange.objects.filter(
                    subject__in=done, published_at=None, sequence__lte=change_sequence.sequence
                )
                waiting.update(published_at=now or Now(), last_error="")
        except StoreUnavailable as error:
            done, reason = set(), str(error)
        in_effect |= done
        if left := [subject for subject in batch if subject not in done]:
            log.warning("permissions left to the relay", subjects=len(left), reason=reason)
            PermissionChange.objects.filter(subject__in=left, published_at=None).update(last_error=reason[:300])
    return in_effect


def vouched(permissions: dict[str, Permission], puts: dict[str, PublishResult]) -> set[str]:
    """The subjects whose present permission is in effect: put, into a store that is vouched for."""
    outrun = [subject for subject, result in puts.items() if result.superseded]
    versions = dict(SubjectVersion.objects.filter(subject__in=outrun).values_list("subject", "sequence"))
    done = set()
    for subject, result in puts.items():
        if result.superseded and versions[subject] <= permissions[subject].sequence:
            # The store knows a change that the database does not.
            log.error("the store is ahead of the database: was it restored? Run manage.py raise_epoch")
        elif result.vouched:
            done.add(subject)
    return done
