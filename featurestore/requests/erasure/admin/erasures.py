"""Admin page of erasures: how far each is, location by location, and the start of one."""

from collections import Counter
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.backoffice.filters import DayRangeFilter
from featurestore.requests.actors import staff
from featurestore.requests.erasure.certificate import title_of
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.erasure.starting import start
from featurestore.requests.errors import RequestError

State = ErasureStep.State
SHOWN_FIRST = [State.UNAVAILABLE, State.HELD, State.PENDING, State.ERASED, State.WAITS]
HEADINGS = ["Location", "State", "Since", "Erased", "Traces", "Looked at", "Gone by", "What hinders it"]


class StartForm(forms.Form):
    reference = forms.CharField(
        max_length=14, widget=UnfoldAdminTextInputWidget, help_text="Of the verified request, R-XXXX-XXXX."
    )
    again = forms.CharField(
        label="Reference again",
        max_length=14,
        widget=UnfoldAdminTextInputWidget,
        help_text="An erasure can't be undone: enter the reference a second time.",
    )

    def clean(self) -> dict[str, Any]:
        entered = super().clean() or {}
        if entered.get("reference") != entered.get("again"):
            raise forms.ValidationError("The two references differ: nothing was started.")
        return entered


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    service_errors = (RequestError,)
    list_display = ["name", "status", "progress", "started_at", "answered_at", "closed_at", "waiting_for"]
    list_filter = [("state", ChoicesDropdownFilter), ("started_at", DayRangeFilter)]
    search_fields = ["request__reference"]
    search_help_text = "Reference of the request"
    fieldsets = [
        (None, {"fields": ["name", "status", "scope", "waiting_for"]}),
        ("Locations", {"fields": ["locations"]}),
        ("When", {"fields": ["started_by", "started_at", "begun_at", "denied_at", "answered_at", "closed_at"]}),
    ]
    actions_list = ["start"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Erasure]:
        return super().get_queryset(request).select_related("request").prefetch_related("steps")

    @display(description="Request")
    def name(self, erasure: Erasure) -> str:
        return erasure.request.reference if erasure.request else erasure.get_cause_display()

    @display(description="State", label={"Erasing": "warning", "Answered": "info", "Closed": "success"})
    def status(self, erasure: Erasure) -> str:
        return erasure.get_state_display()

    @display(description="Scope")
    def scope(self, erasure: Erasure) -> str:
        parts = [f"purposes {', '.join(erasure.purposes)}"] if erasure.purposes else []
        parts += [f"event sources {', '.join(erasure.sources)}"] if erasure.sources else []
        return "Only " + "; ".join(parts) if parts else "Everything"

    @display(description="Locations")
    def progress(self, erasure: Erasure) -> str:
        """The numbers of locations by state: first what hinders the end."""
        found = Counter(State(step.state) for step in erasure.steps.all())
        open_ones = [f"{found[state]} {state.value}" for state in SHOWN_FIRST if found[state]]
        return ", ".join([*open_ones, f"{found[State.CHECKED]} of {found.total()} checked"])

    @display(description="Progress")
    def locations(self, erasure: Erasure) -> str:
        head = format_html_join("", '<th class="rp-cell">{}</th>', ((heading,) for heading in HEADINGS))
        rows = format_html_join("", "<tr>{}</tr>", ((_cells(step),) for step in erasure.steps.all()))
        return format_html('<table class="rp-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, rows)

    def has_start_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("erasure.run_erasure"))

    @action(description="Start an erasure", url_path="start", permissions=["start"], variant=ActionVariant.DANGER)
    def start(self, request: HttpRequest) -> HttpResponse:
        def then(answers: dict[str, Any]) -> HttpResponse:
            erasure = start(answers["reference"].strip(), staff(request.user.get_username()))
            messages.success(request, "The erasure starts within seconds. Load this page again to see how far it is.")
            return self.redirect_to(erasure)

        return self.confirm(
            request,
            None,
            StartForm,
            then,
            title="Start an erasure",
            button="Start the erasure",
            danger=True,
            lead="The customer is denied everywhere at once, and everything of theirs is erased in every location, or "
            "what belongs to the purposes that the request names. It can't be undone, and the request can neither be "
            "withdrawn nor refused any more.",
        )


def _cells(step: ErasureStep) -> str:
    gone_by = f"{step.gone_at:%Y-%m-%d %H:%M}" if step.gone_at and step.state == State.WAITS else ""
    cells = [
        title_of(step.location), step.get_state_display(), f"{step.since:%Y-%m-%d %H:%M}", f"{step.erased:,}",
        f"{step.traces:,}", f"{step.looked_at:,}", gone_by, step.last_error,
    ]  # fmt: skip
    return format_html_join("", '<td class="rp-cell">{}</td>', ((cell,) for cell in cells))
