"""Admin pages of audits and findings; open findings come first."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Case, Value, When
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from kombu.exceptions import OperationalError
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from featurestore.audit import services
from featurestore.audit.consent_audit import run_audit
from featurestore.audit.errors import AuditError
from featurestore.audit.models import AuditRun, Finding
from featurestore.audit.tasks import audit_consent
from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.backoffice.filters import DayRangeFilter
from featurestore.customers.subject_admin import SubjectRowAdmin

QUEUED_S = 300  # then it is not started any more: who asked has stopped waiting, and an audit comes by itself
MEANINGS = {
    Finding.Kind.ALLOWS_MORE: "The store would have allowed reads that the database denies.",
    Finding.Kind.UNKNOWN: "The store held a permission of a subject that is not in the database.",
    Finding.Kind.AHEAD: "The store held a version that this database never issued: was the database restored?",
    Finding.Kind.DENIES_MORE: "The store denied reads that the database allows. Nothing leaked; values were withheld.",
    Finding.Kind.MISSING: "The store held no permission of a subject, which denies its reads. Nothing leaked.",
    Finding.Kind.VALUES_MISSING: "The streams had not pushed a subject's values again: its reads were stale.",
    Finding.Kind.STALE_FENCE: "The store held the same permission under an older version.",
}


def is_queued() -> bool:
    """Queue an audit for a Celery worker; False while the control Redis is unavailable."""
    try:
        audit_consent.apply_async(expires=QUEUED_S)
    except OperationalError:
        return False
    return True


class DismissForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Why nothing needs to be done. It is stored with the finding and your name.",
    )


@admin.register(AuditRun)
class AuditRunAdmin(ReadOnlyAdmin):
    list_display = ["started_at", "outcome", "took", "subjects", "store_subjects", "found", "repaired", "findings"]
    list_filter = [("started_at", DayRangeFilter)]
    fieldsets = [
        (None, {"fields": ["outcome", ("started_at", "finished_at"), "error"]}),
        ("Compared", {"fields": [("subjects", "store_subjects"), ("found", "repaired"), "findings"]}),
    ]
    actions_list = ["run_now"]

    @display(description="Outcome", label={"Nothing found": "success", "Found": "danger", "Ended early": "warning"})
    def outcome(self, run: AuditRun) -> str:
        if run.error:
            return "Ended early"
        if run.finished_at is None:
            return "Running"
        return "Found" if run.found else "Nothing found"

    @display(description="Took")
    def took(self, run: AuditRun) -> str | None:
        return f"{(run.finished_at - run.started_at).total_seconds():,.1f} s" if run.finished_at else None

    @display(description="Findings")
    def findings(self, run: AuditRun) -> Any:
        if not run.found:
            return None
        address = reverse("admin:audit_finding_changelist")
        return format_html('<a class="rp-link" href="{}?run__id__exact={}">Show</a>', address, run.pk)

    def has_run_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("audit.add_auditrun"))

    @action(description="Audit now", url_path="run", permissions=["run"], variant=ActionVariant.PRIMARY)
    def run_now(self, request: HttpRequest) -> HttpResponse:
        def then(answers: dict[str, Any]) -> HttpResponse:
            if is_queued():
                messages.success(
                    request, "The audit starts when a Celery worker is free. Load this list again to see it."
                )
                return self.redirect_to(None)
            run = run_audit()
            if run is None:
                messages.info(request, "An audit is running already.")
            elif run.error:
                messages.warning(request, f"The audit ended early: {run.error}.")
            else:
                messages.success(
                    request, f"Audited {run.subjects:,} subjects: {run.found} found, {run.repaired} repaired."
                )
            return self.redirect_to(None)

        return self.confirm(
            request,
            None,
            forms.Form,
            then,
            title="Audit the store now",
            button="Audit now",
            lead="Every subject of the database is compared with the store, and every subject of the store with the "
            "database. What the store wrongly allows is repaired first. Reads are answered meanwhile.",
        )


@admin.register(Finding)
class FindingAdmin(SubjectRowAdmin):
    service_errors = (AuditError,)
    list_display = ["found_at", "kind", "customer", "purpose", "status", "detail"]
    list_filter = [("state", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter), ("found_at", DayRangeFilter)]
    ordering = [Case(When(state=Finding.State.OPEN, then=Value(0)), default=Value(1)), "-found_at", "-pk"]
    fieldsets = [
        (None, {"fields": ["kind", "means", "status", "customer", "subject", "purpose", "detail"]}),
        ("When", {"fields": ["found_at", "seen_at", "repaired_at", "audit"]}),
        ("Dismissal", {"fields": ["dismissed_by", "dismissed_reason"]}),
    ]
    actions_detail = ["dismiss"]
    linked_filters = ("run",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = super().get_fieldsets(request, obj)
        return shown if obj and obj.state == Finding.State.DISMISSED else shown[:-1]

    @display(description="State", label={"Open": "danger", "Repaired": "success"})
    def status(self, finding: Finding) -> str:
        return finding.get_state_display()

    @display(description="Meaning")
    def means(self, finding: Finding) -> str:
        return MEANINGS[Finding.Kind(finding.kind)]

    @display(description="Audit")
    def audit(self, finding: Finding) -> Any:
        address = reverse("admin:audit_auditrun_change", args=[finding.run_id])
        return format_html('<a class="rp-link" href="{}">Audit {}</a>', address, finding.run_id)

    def has_dismiss_permission(self, request: HttpRequest, object_id: str) -> bool:
        finding = self.get_object(request, object_id)
        is_open = finding is not None and finding.state == Finding.State.OPEN
        return is_open and bool(request.user.has_perm("audit.change_finding"))

    @action(description="Dismiss", url_path="dismiss", permissions=["dismiss"])
    def dismiss(self, request: HttpRequest, object_id: str) -> HttpResponse:
        finding = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            services.dismiss(finding.pk, actor=request.user.get_username(), reason=answers["reason"])
            messages.success(request, "Dismissed. The next audit finds it again if the difference lasts.")
            return self.redirect_to(finding)

        return self.confirm(
            request,
            finding,
            DismissForm,
            then,
            title="Dismiss this finding",
            button="Dismiss",
            lead="A dismissal repairs nothing. The next audit finds it again if the difference lasts.",
            facts=[("Finding", finding.get_kind_display()), ("Detail", finding.detail)],
        )
