"""Readers of audits and findings."""

from django.db.models import QuerySet

from featurestore.audit.models import AuditRun, Finding


def open_findings() -> QuerySet[Finding]:
    """The open findings, the newest first."""
    return Finding.objects.filter(state=Finding.State.OPEN).select_related("run")


def last_audit() -> AuditRun | None:
    """The last audit that ended, well or early."""
    return AuditRun.objects.filter(finished_at__isnull=False).first()
