"""Admin page of eviction runs: what left the store, what would; dry runs and runs are started here."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.backoffice.filters import DayRangeFilter
from featurestore.config import settings
from featurestore.retention import evictions
from featurestore.retention.errors import RetentionError
from featurestore.retention.models import EvictionRun


class RunForm(forms.Form):
    idle_days = forms.IntegerField(
        label="Idle for days",
        min_value=1,
        max_value=evictions.LONGEST_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="A customer without an event or a read for so many days is idle.",
    )


@admin.register(EvictionRun)
class EvictionRunAdmin(ReadOnlyAdmin):
    service_errors = (RetentionError,)
    list_display = ["started_at", "kind", "outcome", "idle_days", "looked_at", "gone", "freed", "kept"]
    list_filter = [("dry_run", BooleanRadioFilter), ("started_at", DayRangeFilter)]
    fieldsets = [
        (None, {"fields": ["kind", "outcome", ("started_at", "finished_at"), "started_by", "idle_days", "error"]}),
        ("Counted", {"fields": [("looked_at", "kept"), ("gone", "freed")]}),
    ]
    actions_list = ["count_idle", "evict_now"]

    @display(description="Kind", label={"Eviction": "warning", "Dry run": "info"})
    def kind(self, run: EvictionRun) -> str:
        return "Dry run" if run.dry_run else "Eviction"

    @display(description="State", label={"Ended": "success", "Waits": "danger"})
    def outcome(self, run: EvictionRun) -> str:
        if run.finished_at:
            return "Ended"
        return "Waits" if run.error else "Running"

    @display(description="Memory of values", ordering="freed_bytes")
    def freed(self, run: EvictionRun) -> str:
        return str(filesizeformat(run.freed_bytes))

    @display(description="Looked at", ordering="subjects")
    def looked_at(self, run: EvictionRun) -> str:
        return f"{run.subjects:,}"

    @display(description="Evicted", ordering="evicted")
    def gone(self, run: EvictionRun) -> str:
        return f"{run.evicted:,}"

    @display(description="Kept because read", ordering="kept_read")
    def kept(self, run: EvictionRun) -> str:
        return f"{run.kept_read:,}"

    def has_run_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("retention.add_evictionrun"))

    @action(description="Dry run", url_path="count", permissions=["run"], variant=ActionVariant.PRIMARY)
    def count_idle(self, request: HttpRequest) -> HttpResponse:
        return self._start(
            request,
            dry_run=True,
            title="Count the idle customers",
            button="Start the dry run",
            lead="Every customer's values in the store are looked at, and nothing is changed. The numbers are in the "
            "list within minutes.",
        )

    @action(description="Evict now", url_path="evict", permissions=["run"])
    def evict_now(self, request: HttpRequest) -> HttpResponse:
        return self._start(
            request,
            dry_run=False,
            title="Evict idle customers now",
            button="Evict",
            danger=True,
            lead="The values of idle customers leave the store. Their consent stays in effect, and nothing is lost: "
            "their next event or read has the values pushed again; the first answers after that are stale.",
        )

    def _start(self, request: HttpRequest, *, dry_run: bool, **texts: Any) -> HttpResponse:
        def then(answers: dict[str, Any]) -> HttpResponse:
            actor = request.user.get_username()
            run = evictions.start(answers["idle_days"], dry_run=dry_run, actor=actor)
            messages.success(request, "It starts within a minute. Load this page again to see how far it is.")
            return self.redirect_to(run)

        initial = {"idle_days": settings().idle_subject_days or None}
        return self.confirm(request, None, lambda data: RunForm(data, initial=initial), then, **texts)
