"""Admin page of verifications of the audit log, with the button that starts one."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from featurestore.auditlog.models import LogVerification
from featurestore.auditlog.selectors import log_state
from featurestore.auditlog.services import request_verification
from featurestore.backoffice.base import ReadOnlyAdmin

LABELS = {"Everything holds": "success", "Altered": "danger", "Ended early": "warning"}


@admin.register(LogVerification)
class LogVerificationAdmin(ReadOnlyAdmin):
    list_display = ["started_at", "outcome", "took", "verified", "erased", "heads", "found", "asked_by"]
    fieldsets = [
        (None, {"fields": ["outcome", ("started_at", "finished_at"), "asked_by", "error"]}),
        ("Verified", {"fields": [("verified", "erased"), "heads", "of_root"]}),
        ("What does not hold", {"fields": ["found", "named"]}),
    ]
    actions_list = ["verify_now"]

    @display(
        description="Outcome", label={"Everything holds": "success", "Altered": "danger", "Ended early": "warning"}
    )
    def outcome(self, run: LogVerification) -> str:
        if run.finished_at is None:
            return "Running"
        if run.error:
            return "Ended early"
        return "Altered" if run.found else "Everything holds"

    @display(description="Entries", ordering="entries")
    def verified(self, run: LogVerification) -> str:
        return f"{run.entries:,}" if run.finished_at else f"{run.entries:,} of {log_state().entries:,}"

    @display(description="Took")
    def took(self, run: LogVerification) -> str | None:
        return f"{(run.finished_at - run.started_at).total_seconds():,.1f} s" if run.finished_at else None

    @display(description="Findings")
    def named(self, run: LogVerification) -> Any:
        return format_html_join("", "<div>{}</div>", ((one,) for one in run.findings.splitlines())) or None

    @display(description="Root")
    def of_root(self, run: LogVerification) -> Any:
        return format_html('<span class="rp-code">{}</span>', run.root) if run.root else None

    @display(description="Started by", ordering="started_by")
    def asked_by(self, run: LogVerification) -> str:
        return run.started_by or "Rapport, each day"

    def has_run_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("auditlog.add_logverification"))

    @action(description="Verify the log now", url_path="run", permissions=["run"], variant=ActionVariant.PRIMARY)
    def verify_now(self, request: HttpRequest) -> HttpResponse:
        def then(answers: dict[str, Any]) -> HttpResponse:
            request_verification(request.user.get_username())
            messages.success(request, "It starts within a minute. Load this list again to see what it found.")
            return self.redirect_to(None)

        return self.confirm(
            request,
            None,
            forms.Form,
            then,
            title="Verify the audit log now",
            button="Verify",
            lead="Every entry is compared with what was appended, and every tree head with its signature. A million "
            "entries take about a minute. Who does not trust this installation verifies an export instead, with a "
            "program of their own: manage.py auditlog export.",
        )
