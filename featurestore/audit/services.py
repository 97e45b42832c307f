"""Writers of audits and findings."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from featurestore.audit.comparison import Difference
from featurestore.audit.errors import FindingNotOpen, MissingReason
from featurestore.audit.models import AuditRun, Finding
from featurestore.clock import database_now
from featurestore.customers.selectors import held_subjects

RETENTION = timedelta(days=90)
MAX_FINDINGS_PER_RUN = 1000
"""Findings of one audit that get a row; the audit's counts include the others."""


def record_findings(
    run: AuditRun,
    found: Mapping[str, Sequence[Difference]],
    repaired: Collection[str],
    now: datetime | None = None,
) -> None:
    """Record the differences that an audit found, by subject. An open finding is not recorded twice."""
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
    Finding.objects.bulk_create(new[: max(MAX_FINDINGS_PER_RUN - run.found, 0)])
    run.found += len(rows)
    run.repaired += sum(row.state == Finding.State.REPAIRED for row in rows)
    run.save()


def close_abandoned_runs(now: datetime | None = None) -> None:
    """End the audits whose process died. Call it with the audit's job lease held: then no audit is running."""
    AuditRun.objects.filter(finished_at=None).update(finished_at=now or database_now(), error="its process ended")


def finish_run(run: AuditRun, now: datetime | None = None) -> None:
    """End an audit. If it was complete, the open findings that it did not find again count as repaired."""
    run.finished_at = now or database_now()
    run.save()
    if not run.error:
        repaired = Finding.objects.filter(state=Finding.State.OPEN, seen_at__lt=run.started_at)
        repaired.update(state=Finding.State.REPAIRED, repaired_at=run.finished_at)


def dismiss(finding_id: int, *, actor: str, reason: str) -> Finding:
    """Close an open finding without a repair, for a stated reason. The next audit finds a lasting difference again."""
    if not reason.strip() or not actor:
        raise MissingReason("State who dismisses the finding, and why.")
    dismissed = Finding.objects.filter(pk=finding_id, state=Finding.State.OPEN).update(
        state=Finding.State.DISMISSED, dismissed_by=actor[:150], dismissed_reason=reason.strip()[:500]
    )
    if not dismissed:
        raise FindingNotOpen("The finding is not open: it was repaired or dismissed meanwhile.")
    return Finding.objects.get(pk=finding_id)


def prune(now: datetime | None = None) -> int:
    """Delete the audits that started 90 days ago or earlier, with their findings; return the number of audits.

    Those with findings that a legal hold keeps stay.
    """
    at = now or database_now()
    kept = Finding.objects.filter(subject__in=held_subjects("audit_findings", at)).values("run")
    old = AuditRun.objects.filter(started_at__lt=at - RETENTION).exclude(pk__in=kept)
    count = old.count()
    old.delete()
    return count
