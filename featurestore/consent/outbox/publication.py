"""Publication of permissions from the database to the store. The store fences it, so that it may be repeated."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.db import transaction
from django.db.models.functions import Now

from featurestore.clock import database_now, milliseconds
from featurestore.consent.change_sequence import load_change_sequence, lock_change_sequence
from featurestore.consent.late_grants import Unpublished, late_grants, note_late_pauses, restart_counting
from featurestore.consent.models import CurrentPermission, PermissionChange, SubjectVersion
from featurestore.consent.permission_derivation import START_DELAY_MS, ConsentState, consent_state, derive_permission
from featurestore.consent.subject_versions import write_versions
from featurestore.consent.vouching.latch import Latched
from featurestore.consent.vouching.publication_check import check_publication, open_subjects, still_unfilled
from featurestore.jobs.batches import batches
from featurestore.permission import Permission
from featurestore.store import configured
from featurestore.store.protocol import OnlineStore, PublishResult, StoreUnavailable

log = structlog.get_logger(__name__)

READ_TIMEOUT_MS = 1_000
UNVOUCHED = "the node is unavailable or not vouched for: is `manage.py verify_store` running?"
TOO_SLOW = "the store takes permissions too slowly: grants had begun each time before it had them"
RESTART_DELAYS_MS = [START_DELAY_MS * 2**n for n in range(5)]
"""Delays after which late grants start, tried in turn, until the store has them before."""
PUBLISHED_WITHIN = timedelta(milliseconds=START_DELAY_MS / 4)
"""A grant that begins so soon is not published with this start: it would perhaps have begun when the store got it."""


def permissions_of(subjects: Collection[str], epoch: int | None = None) -> dict[str, Permission]:
    """The permissions of the subjects that have a version in the database. The others are left out.

    The versions are read before the rows. If a change commits between the two reads, its rows are published under the
    earlier version, and later again under their own. In the other order, earlier rows would get the later version, and
    the store would refuse the correction.
    """
    epoch = load_change_sequence().epoch if epoch is None else epoch
    versions = dict(SubjectVersion.objects.filter(subject__in=subjects).values_list("subject", "sequence"))
    changes = PermissionChange.objects.filter(sequence__in=versions.values())
    tokens = dict(changes.values_list("sequence", "token"))
    states: dict[str, dict[str, ConsentState]] = {subject: {} for subject in versions}
    retired: set[str] = set()
    current = CurrentPermission.objects.filter(customer__subject__in=versions)
    for subject, purpose, active, *state in current.values_list(
        *("customer__subject", "purpose__name", "purpose__active"),
        *("allowed", "paused", "grant_id", "since", "until", "ended_at", "complete_from"),
    ):
        states[subject][purpose] = consent_state(*state)
        if not active:
            retired.add(purpose)
    return {
        subject: derive_permission(epoch, sequence, states[subject], retired, tokens.get(sequence, 0))
        for subject, sequence in versions.items()
    }


class Publication(NamedTuple):
    """Permissions that were sent to a store; its answers; and the changes that were unpublished before, by subject."""

    permissions: dict[str, Permission]
    results: dict[str, PublishResult]
    unpublished: dict[str, dict[int, datetime]]


def publish(subjects: Collection[str], now: datetime | None = None) -> set[str]:
    """Publish the current permissions of subjects; those returned are in effect, and the relay tries the others.

    Grants that the store would get too late, or got too late, start later. Never raises StoreUnavailable: the changes
    are recorded, and an unavailable store denies.
    """
    effective: set[str] = set()
    for batch in batches(sorted(subjects)):
        reason, pending = UNVOUCHED, set(batch)
        try:
            for delay_ms in RESTART_DELAYS_MS:
                reached, unfilled = open_subjects(pending)
                restart_late_grants(configured.store(), reached, now, delay_ms)
                publication = send(configured.store(), reached, now, unfilled)
                check_publication(publication.permissions, publication.results)
                done, restarted = settle(publication, now, delay_ms)
                effective |= done
                if not (pending := restarted):
                    break
            else:
                reason = TOO_SLOW
        except (StoreUnavailable, Latched) as error:
            reason = str(error)
        if left := [subject for subject in batch if subject not in effective]:
            log.warning("permissions not published yet", subjects=len(left), reason=reason)
            PermissionChange.objects.filter(subject__in=left, published_at=None).update(last_error=reason[:300])
    return effective


def restart_late_grants(
    store: OnlineStore, subjects: Collection[str], now: datetime | None = None, delay_ms: int = START_DELAY_MS
) -> None:
    """Start grants later that a store would get too late, before it gets them: so no answer claims the earlier start.

    In a store that is not vouched for nothing is answered or passed by: they can wait. Where the store holds a later
    permission than the database, no number is taken before the publication shows that. Raises StoreUnavailable.
    """
    at = (now or database_now()) + PUBLISHED_WITHIN
    late = sorted({row.customer.subject for row in late_grants(subjects, at=at)})
    if late:
        read = store.read(late, (), (), READ_TIMEOUT_MS).subjects
        ours = permissions_of(late)  # after the store: it may hold a later one only if the database lost a commit
        known = [
            subject
            for subject, stored in zip(late, read, strict=True)
            if stored.vouched and not (stored.permission and stored.permission.fence > ours[subject].fence)
        ]
        restart_counting(known, now=now, delay_ms=delay_ms, at=at)


def send(
    store: OnlineStore, subjects: Collection[str], now: datetime | None = None, unfilled: Collection[str] = ()
) -> Publication:
    """Send the current permissions of subjects to a store or to one of its nodes. Raises StoreUnavailable.

    A subject whose first publication this is has no values that the store may have lost. ``unfilled``: subjects of
    nodes that were emptied, or are being filled. If they still are after the publication, it counts as a part of the
    filling: the store verifier publishes all permissions before it vouches, and until then the streams wait.
    """
    change_sequence = load_change_sequence()  # read first: the permissions include every change that it numbers
    unpublished: dict[str, dict[int, datetime]] = {subject: {} for subject in subjects}
    changes = PermissionChange.objects.filter(
        subject__in=subjects, published_at=None, sequence__lte=change_sequence.sequence
    )
    for subject, sequence, created_at in changes.values_list("subject", "sequence", "created_at"):
        unpublished[subject][sequence] = created_at
    permissions = permissions_of(subjects, change_sequence.epoch)
    first, results = _first_publications(permissions, unpublished), {}
    unmarked = first.union(unfilled)
    if new := {subject: ours for subject, ours in permissions.items() if subject in unmarked}:
        answers = store.publish_permissions(new)
        spared = first | still_unfilled(unfilled)
        results = {
            subject: answer._replace(recreated=answer.recreated and subject not in spared)
            for subject, answer in answers.items()
        }
    if known := {subject: ours for subject, ours in permissions.items() if subject not in unmarked}:
        results |= store.publish_permissions(known, milliseconds(now or database_now()))
    return Publication(permissions, results, unpublished)


def _first_publications(permissions: Mapping[str, Permission], unpublished: Mapping[str, Unpublished]) -> set[str]:
    """The subjects of whom no change was published yet, as far as the outbox reaches back, and no grant held now."""
    found = {
        subject
        for subject, permission in permissions.items()
        if all(
            one.grant_id in unpublished[subject] for one in permission.purposes.values() if one.allowed or one.paused
        )
    }
    published = PermissionChange.objects.filter(subject__in=found).exclude(published_at=None)
    return found.difference(published.values_list("subject", flat=True))


def settle(
    publication: Publication,
    now: datetime | None = None,
    delay_ms: int = START_DELAY_MS,
    *,
    vouched: bool = False,
) -> tuple[set[str], set[str]]:
    """Record which changes are in effect, and start late grants again: the subjects in effect, and those to publish
    again. ``vouched``: the store has been vouched for since its answers.
    """
    _, results, unpublished = publication
    done = {subject for subject, result in results.items() if result.vouched or vouched}
    recreated = {subject for subject, result in results.items() if result.recreated}
    restarted = mark_published({subject: unpublished[subject] for subject in done}, recreated, now, delay_ms)
    return done - restarted, restarted


def mark_published(
    unpublished: Mapping[str, Unpublished],
    recreated: Collection[str] = (),
    now: datetime | None = None,
    delay_ms: int = START_DELAY_MS,
) -> set[str]:
    """Start late grants again, then record that subjects' changes are in effect; the subjects to publish again.

    A permission that was put where none was may be an earlier one, which a slow process had read before: a stored one
    would have refused it. Purges were passed by meanwhile. So all of ``recreated`` get a new version, and a purge.
    """
    changes = {sequence: at for by_sequence in unpublished.values() for sequence, at in by_sequence.items()}
    if not changes and not recreated:
        return set()
    note_late_pauses(changes, now)
    subjects = {*unpublished, *recreated}
    restarted = restart_counting(subjects, recreated, now, delay_ms)
    if renewed := set(recreated) - restarted:
        with transaction.atomic(durable=True):
            write_versions(lock_change_sequence(now), renewed)
    for sequences in batches(changes):
        rows = PermissionChange.objects.filter(sequence__in=sequences, published_at=None)
        rows.update(published_at=now or Now(), last_error="")
    return restarted | renewed
