"""Consent audit: compares every subject of the database with the store, and every subject of the store the other way.

A change that is being published is no finding: a difference counts if a second reading of both shows it again, and the
outbox has no change of that subject in between. What the store allows and the database denies is repaired first. If the
store holds a later version than the database, or a subject that the database never had, the database has lost commits:
then denial is latched and nothing is repaired.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from django.db.models import Q

from featurestore.audit import services
from featurestore.audit.comparison import Difference, DifferenceKind, differences
from featurestore.audit.models import AuditRun
from featurestore.clock import database_now, milliseconds
from featurestore.config import settings
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.models import PermissionChange, SubjectVersion
from featurestore.consent.outbox.publication import permissions_of, publish
from featurestore.consent.services import raise_versions
from featurestore.consent.vouching.latch import latch
from featurestore.consent.vouching.store_history import change_of, foreign_changes
from featurestore.identity import is_subject
from featurestore.jobs.batches import BATCH_SIZE, batches
from featurestore.jobs.job_leases import hold_job_lease
from featurestore.store import configured
from featurestore.store.protocol import StoredSubject, StoreUnavailable

log = structlog.get_logger(__name__)

LEASE_S = 120  # renewed with every batch
STUCK_AFTER = timedelta(minutes=1)
"""A change unpublished for longer is a finding: the store verifier publishes twice a second."""


class UnvouchedStore(StoreUnavailable):
    """The store is not vouched for: reads deny whatever permissions it holds, so there is nothing to compare."""


def run_audit(now: datetime | None = None) -> AuditRun | None:
    """Audit every subject; None if another process is doing so. An error that ends it early is recorded."""
    with hold_job_lease("audit", LEASE_S, now) as lease:
        if not lease:
            return None
        services.close_abandoned_runs(now)
        run = AuditRun.objects.create(started_at=now or database_now())
        foreign = 0
        try:
            for subjects in _database_subjects():
                lease.renew()
                run.subjects += len(subjects)
                _compare(run, subjects, now)
            for subjects in batches(configured.store().subjects(), BATCH_SIZE):
                lease.renew()
                run.store_subjects += len(subjects)
                ours = [subject for subject in subjects if is_subject(subject.encode())]
                foreign += len(subjects) - len(ours)
                _look_up(run, ours, now)
            if foreign:
                detail = f"{foreign} keys are no subjects: another application writes to this Redis"
                services.record_findings(
                    run, {"": [Difference(DifferenceKind.UNKNOWN, "", detail)]}, repaired=(), now=now
                )
        except StoreUnavailable as error:
            run.error = str(error)[:300]
            log.warning("audit ended early", reason=run.error)
        except Exception as error:
            first_line, *_ = str(error).splitlines() or [""]  # PostgreSQL names values in the later ones
            run.error = f"{type(error).__name__}: {first_line}"[:300]
            services.finish_run(run, now)
            raise
        services.finish_run(run, now)
        if run.found:
            log.error("audit found differences", found=run.found, repaired=run.repaired)
        return run


def _database_subjects() -> Iterator[list[str]]:
    last = ""
    while subjects := list(
        SubjectVersion.objects.filter(subject__gt=last)
        .order_by("subject")
        .values_list("subject", flat=True)[:BATCH_SIZE]
    ):
        yield subjects
        last = subjects[-1]


def _compare(run: AuditRun, subjects: Collection[str], now: datetime | None) -> None:
    """The database's subjects against the store."""
    suspects = _differing(subjects, now).keys()
    if not suspects:
        return
    began = now or database_now()
    found = _differing(suspects, now)
    recent = Q(published_at=None, created_at__gt=began - STUCK_AFTER) | Q(published_at__gte=began)
    changes = PermissionChange.objects.filter(recent, subject__in=found)
    for subject in set(changes.values_list("subject", flat=True)):
        del found[subject]
    if not found:
        return
    if _latch_if_ahead(found):
        services.record_findings(run, found, repaired=(), now=now)
        return
    worst_first = sorted(
        found, key=lambda subject: all(d.kind is not DifferenceKind.ALLOWS_MORE for d in found[subject])
    )
    for batch in batches(worst_first, BATCH_SIZE):
        _repair({subject: found[subject] for subject in batch}, now)
    left = {
        subject: kinds
        for subject, kinds in _differing(found, now).items()
        if any(difference.kind is not DifferenceKind.VALUES_MISSING for difference in kinds)  # the streams push them
    }
    services.record_findings(run, found, repaired=found.keys() - left.keys(), now=now)


def _repair(found: Mapping[str, Sequence[Difference]], now: datetime | None) -> None:
    """Publish permissions. While one was missing, the streams passed purges of its subject by: they get another."""
    again = {
        subject
        for subject, kinds in found.items()
        if any(one.kind in (DifferenceKind.MISSING, DifferenceKind.VALUES_MISSING) for one in kinds)
    }
    publish(found.keys() - again, now)
    if again:
        raise_versions(again, now)


def _latch_if_ahead(subjects: Collection[str]) -> bool:
    """Latch if the store holds a version of a subject that the database never issued: nothing is repaired on its word.

    The store is read first. What it holds was committed before, so that the database has it, unless it lost commits.
    """
    stored, change_sequence = _stored(subjects), load_change_sequence()
    permissions = permissions_of(subjects, change_sequence.epoch)
    foreign = foreign_changes((change_of(p) for one in stored.values() if (p := one.permission)), change_sequence)
    lost = [
        p
        for subject, one in stored.items()
        if (p := one.permission)
        and (subject not in permissions or p.fence > permissions[subject].fence or change_of(p) in foreign)
    ]
    ahead = [permission for permission in lost if permission.epoch >= change_sequence.epoch]
    if ahead:
        reason = f"the audit found {len(ahead)} permissions in the store that the database never issued"
        latch(reason, change_sequence, max(permission.epoch for permission in ahead))
    return bool(ahead)


def _look_up(run: AuditRun, subjects: Collection[str], now: datetime | None) -> None:
    """Look up the store's subjects in the database, which commits each subject before it is published."""
    known = SubjectVersion.objects.filter(subject__in=subjects).values_list("subject", flat=True)
    unknown = set(subjects).difference(known)
    unknown -= _erase_forgotten(unknown)
    if unknown:
        detail = "the database has no permission of this subject"
        found = {subject: [Difference(DifferenceKind.UNKNOWN, "", detail)] for subject in unknown}
        repaired = () if _latch_if_ahead(unknown) else raise_versions(unknown, now)
        services.record_findings(run, found, repaired=repaired, now=now)


def _erase_forgotten(unknown: Collection[str]) -> set[str]:
    """Erase the hashes of subjects whose version was deleted long after their erasure; these subjects.

    They name no purpose, and deny: a Redis that was filled from an old file may have one again. A change that the
    database has not made yet, or made otherwise, is none of these: that shows a lost commit.
    """
    stored, change_sequence = _stored(unknown), load_change_sequence()
    denials = {subject: p for subject, one in stored.items() if (p := one.permission) and not p.purposes}
    foreign = foreign_changes(map(change_of, denials.values()), change_sequence)
    forgotten = {subject for subject, denial in denials.items() if change_of(denial) not in foreign}
    return forgotten - configured.store().erase(sorted(forgotten)) if forgotten else set()


def _differing(subjects: Collection[str], now: datetime | None) -> dict[str, list[Difference]]:
    permissions, stored = permissions_of(subjects), _stored(subjects)
    now_ms = milliseconds(now or database_now())
    found = {
        subject: differences(ours, stored[subject].permission, now_ms, stored[subject].recreated_ms)
        for subject, ours in permissions.items()
    }
    return {subject: kinds for subject, kinds in found.items() if kinds}


def _stored(subjects: Collection[str]) -> dict[str, StoredSubject]:
    wanted = list(subjects)
    reading = configured.store().read(wanted, [], [], settings().store_timeout_ms * 4)
    if not reading.vouched:
        raise UnvouchedStore("the store is not vouched for: is `manage.py verify_store` running?")
    return dict(zip(wanted, reading.subjects, strict=True))
