"""Verifications of the whole log, each a row: one a day, and whenever staff ask."""

from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.utils import DatabaseError

from featurestore.auditlog import export
from featurestore.auditlog.entries import Entry
from featurestore.auditlog.log_verifier import Verification
from featurestore.auditlog.models import LogVerification
from featurestore.auditlog.services.appending import append
from featurestore.auditlog.services.sequencing import lock_log
from featurestore.clock import database_now
from featurestore.jobs.job_leases import HeldJobLease, hold_job_lease

LEASE_S = 600
MOST_FINDINGS = 100
KEPT = timedelta(days=730)
DUE = timedelta(days=1)
log = structlog.get_logger(__name__)


def request_verification(staff: str, now: datetime | None = None) -> LogVerification:
    """A verification that waits for a Celery worker, or the one that waits or runs already."""
    at = now or database_now()
    with transaction.atomic():
        lock_log()
        if waiting := LogVerification.objects.filter(finished_at=None).first():
            return waiting
        made = LogVerification.objects.create(started_at=at, started_by=staff[:150])
        append(Entry("audit_log.verified", at, {"verification": made.pk}, staff))
    return made


def verify_due(now: datetime | None = None) -> LogVerification | None:
    """Carry out the verification that was requested, that a process which died left, or that is due each day; None
    without any such, or while another process verifies. Other processes append and erase meanwhile.
    """
    at = now or database_now()
    with hold_job_lease("auditlog.verify", LEASE_S, now) as lease:
        run = LogVerification.objects.filter(finished_at=None).last() if lease else None
        if lease is None or not (run or is_due(at)):
            return None
        return _verify(run or LogVerification.objects.create(started_at=at), lease, now)


def _verify(run: LogVerification, lease: HeldJobLease, now: datetime | None) -> LogVerification:
    verification = Verification()

    def progress(entries: int) -> None:
        lease.renew()
        LogVerification.objects.filter(pk=run.pk).update(entries=entries)

    try:
        findings = export.verify(verification, progress)
    except DatabaseError as error:
        run.error = f"The database failed: {type(error).__name__}. Start it again."
        findings = verification.findings
    run.finished_at = now or database_now()
    run.entries, run.erased, run.heads = verification.entries, verification.erased, verification.heads
    run.root = verification.tree.root().hex()
    run.found = len(findings) + verification.more_findings
    run.findings = "\n".join(findings[:MOST_FINDINGS])
    run.save()
    if run.found:
        log.error("audit log does not hold", findings=run.found, verification=run.pk)
    return run


def is_due(at: datetime) -> bool:
    """Whether none began in the last day."""
    return not LogVerification.objects.filter(started_at__gt=at - DUE).exists()


def prune(now: datetime | None = None) -> int:
    """Delete verifications of more than two years ago; their number."""
    deleted, _ = LogVerification.objects.filter(started_at__lt=(now or database_now()) - KEPT).delete()
    return deleted
