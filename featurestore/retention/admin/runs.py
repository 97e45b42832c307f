"""Admin page of the runs of retention rules: what would go, what went, what a legal hold kept."""

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.backoffice.filters import DayRangeFilter
from featurestore.retention.models import RetentionRun


@admin.register(RetentionRun)
class RetentionRunAdmin(ReadOnlyAdmin):
    list_display = ["started_at", "what", "kind", "outcome", "before", "went", "kept", "untold"]
    list_filter = [("dry_run", BooleanRadioFilter), ("started_at", DayRangeFilter)]
    list_select_related = ["rule"]
    fieldsets = [
        (None, {"fields": ["what", "kind", "outcome", ("started_at", "finished_at"), "started_by", "before", "error"]}),
        ("Counted", {"fields": ["went", "kept", "untold"]}),
    ]

    @display(description="Gone", ordering="gone")
    def went(self, run: RetentionRun) -> str:
        return f"{run.gone:,}"

    @display(description="Kept by a hold", ordering="held")
    def kept(self, run: RetentionRun) -> str:
        return f"{run.held:,}"

    @display(description="Undecided", ordering="undecided")
    def untold(self, run: RetentionRun) -> str:
        return f"{run.undecided:,}"

    @display(description="Rule")
    def what(self, run: RetentionRun) -> Any:
        address = reverse("admin:retention_retentionrule_change", args=[run.rule_id])
        return format_html(
            '<a class="rp-link" href="{}">{}: {}</a>', address, run.rule.get_kind_display(), run.rule.name
        )

    @display(description="Kind", label={"Applied": "warning", "Dry run": "info"})
    def kind(self, run: RetentionRun) -> str:
        return "Dry run" if run.dry_run else "Applied"

    @display(description="State", label={"Ended": "success", "Waits": "danger"})
    def outcome(self, run: RetentionRun) -> str:
        if run.finished_at:
            return "Ended"
        return "Waits" if run.error else "Running"
