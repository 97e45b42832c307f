"""The only writers of audits and findings."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from featurestore.audit.comparison import Difference
from featurestore.audit.errors import NoReason, NotOpen
from featurestore.audit.models import AuditRun, Finding
from featurestore.clock import database_now

KEEP = timedelta(days=90)
RECORDED_AT_MOST = 1000
"""Findings of one audit that are kept one by one; its counts hold all of them."""


def record(
    run: AuditRun,
    found: Mapping[str, Sequence[Difference]],
    repaired: Collection[str],
    now: datetime | None = None,
) -> None:
    """Keep what an audit found of each subject. A difference that is open already stays the one finding it is."""
    at = now or database_now()
    already = Finding.objects.filter(subject__in=found, state=Finding.State.OPEN)
    known = set(already.values_list("kind", "subject", "purpose"))
    rows = [
        Finding(
            run=run,
            kind=kind,
            subject=subject,
            purpose=purpose,
            detail=detail[:300],
            found_at=at,
            seen_at=at,
            state=Finding.State.REPAIRED if subject in repaired else Finding.State.OPEN,
            repaired_at=at if subject in repaired else None,
        )
        for subject, kinds in found.items()
        for kind, purpose, detail in kinds
    ]
    already.update(seen_at=at)
    already.filter(subject__in=repaired).update(state=Finding.State.REPAIRED, repaired_at=at)
    new = [row for row in rows if (row.kind, row.subject, row.purpose) not in known]
    Finding.objects.bulk_create(new[: max(RECORDED_AT_MOST - run.found, 0)])
    run.found += len(rows)
    run.repaired += sum(row.state == Finding.State.REPAIRED for row in rows)
    run.save()


def bury(now: datetime | None = None) -> None:
    """End the audits whose process died. For the holder of the audit's lease alone: no other is at work then."""
    AuditRun.objects.filter(finished_at=None).update(finished_at=now or database_now(), error="its process died")


def finish(run: AuditRun, now: datetime | None = None) -> None:
    """End an audit. What was open and has not been seen again is repaired, if the audit came to its end."""
    run.finished_at = now or database_now()
    run.save()
    if not run.error:
        gone = Finding.objects.filter(state=Finding.State.OPEN, seen_at__lt=run.started_at)
        gone.update(state=Finding.State.REPAIRED, repaired_at=run.finished_at)


def dismiss(finding_id: int, *, actor: str, reason: str) -> Finding:
    """Close an open finding without a repair, for a stated reason. It is found again while the difference lasts."""
    if not reason.strip() or not actor:
        raise NoReason("Say who dismisses the finding and why.")
    dismissed = Finding.objects.filter(pk=finding_id, state=Finding.State.OPEN).update(
        state=Finding.State.DISMISSED, dismissed_by=actor[:150], dismissed_reason=reason.strip()[:500]
    )
    if not dismissed:
        raise NotOpen("The finding is not open: it was repaired or dismissed meanwhile.")
    return Finding.objects.get(pk=finding_id)


def prune(now: datetime | None = None) -> int:
    """Forget audits of 90 days ago with their findings; how many audits."""
    old = AuditRun.objects.filter(started_at__lt=(now or database_now()) - KEEP)
    count = old.count()
    old.delete()
    return count
