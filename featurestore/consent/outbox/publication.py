"""Publication of permissions from the database to the store. The store fences it, so that it may be repeated."""

from collections.abc import Collection
from datetime import datetime

import structlog
from django.db.models.functions import Now

from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.models import CurrentPermission, PermissionChange, SubjectVersion
from featurestore.consent.permission_derivation import ConsentState, consent_state, derive_permission
from featurestore.consent.vouching.latch import Latched
from featurestore.consent.vouching.publication_check import check_publication, open_subjects
from featurestore.consent.vouching.store_history import tokens_of
from featurestore.jobs.batches import batches
from featurestore.permission import Permission
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable

log = structlog.get_logger(__name__)

UNVOUCHED = "the node is unavailable or not vouched for: is `manage.py verify_store` running?"


def permissions_of(subjects: Collection[str], epoch: int | None = None) -> dict[str, Permission]:
    """The permissions of the subjects that have a version in the database. The others are left out.

    The versions are read before the rows. If a change commits between the two reads, its rows are published under the
    earlier version, and later again under their own. In the other order, earlier rows would get the later version, and
    the store would refuse the correction.
    """
    epoch = load_change_sequence().epoch if epoch is None else epoch
    versions = dict(SubjectVersion.objects.filter(subject__in=subjects).values_list("subject", "sequence"))
    states: dict[str, dict[str, ConsentState]] = {subject: {} for subject in versions}
    retired: set[str] = set()
    rows = CurrentPermission.objects.filter(customer__subject__in=versions).values_list(
        "customer__subject", "purpose__name", "purpose__active", "allowed", "grant_id", "since", "until", "ended_at"
    )
    for subject, purpose, active, allowed, grant_id, since, until, ended_at in rows:
        states[subject][purpose] = consent_state(allowed, grant_id, since, until, ended_at)
        if not active:
            retired.add(purpose)
    return {
        subject: derive_permission(epoch, sequence, states[subject], retired) for subject, sequence in versions.items()
    }


def publish(subjects: Collection[str], now: datetime | None = None) -> set[str]:
    """Publish the current permissions of subjects; those returned are in effect, and the relay tries the others.

    Never raises StoreUnavailable: the changes are recorded, and an unavailable store denies.
    """
    effective: set[str] = set()
    for batch in batches(sorted(subjects)):
        reason = UNVOUCHED
        try:
            done = _publish_batch(batch, now)
        except (StoreUnavailable, Latched) as error:
            done, reason = set(), str(error)
        effective |= done
        if left := [subject for subject in batch if subject not in done]:
            log.warning("permissions not published yet", subjects=len(left), reason=reason)
            PermissionChange.objects.filter(subject__in=left, published_at=None).update(last_error=reason[:300])
    return effective


def _publish_batch(batch: Collection[str], now: datetime | None) -> set[str]:
    """The subjects whose current permission is in effect: stored on a node that is vouched for."""
    subjects = open_subjects(batch)
    change_sequence = load_change_sequence()  # read first: the permissions include every change that it numbers
    permissions = permissions_of(subjects, change_sequence.epoch)
    tokens = tokens_of(permissions)
    results = configured.store().publish_permissions(permissions, tokens)
    check_publication(permissions, tokens, results)
    done = {subject for subject, result in results.items() if result.vouched}
    if done:
        unpublished = PermissionChange.objects.filter(
            subject__in=done, published_at=None, sequence__lte=change_sequence.sequence
        )
        unpublished.update(published_at=now or Now(), last_error="")
    return done
