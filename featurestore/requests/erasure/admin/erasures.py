"""Admin page of erasures: how far each is, location by location, and the start of one."""

from collections import Counter
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.backoffice.filters import DayRangeFilter
from featurestore.clock import database_now
from featurestore.customers.selectors import active_holds
from featurestore.requests.actors import staff
from featurestore.requests.admin.addresses import facts_of_start, link_to_request, page_of_request, request_of_address
from featurestore.requests.erasure.certificate import title_of
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.erasure.progress import SHOWN_FIRST, progress_of
from featurestore.requests.erasure.starting import start
from featurestore.requests.errors import RequestError
from featurestore.requests.models import SubjectRequest

State = ErasureStep.State


class StartForm(forms.Form):
    """Form of the start. ``reference``: of the request whose page it was opened from; "": it is entered, too."""

    reference = forms.CharField(
        max_length=14, widget=UnfoldAdminTextInputWidget, help_text="Of the verified request, as R-7K2M-9QXD."
    )
    again = forms.CharField(
        label="Reference again",
        max_length=14,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="An erasure can't be undone: enter the reference a second time.",
    )

    def __init__(self, *args: Any, reference: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if reference:
            self.fields["reference"].widget, self.fields["reference"].initial = forms.HiddenInput(), reference
            self.fields["again"].label = f"Enter {reference} to confirm"
            self.fields["again"].help_text = "An erasure can't be undone."

    def clean(self) -> dict[str, Any]:
        entered = super().clean() or {}
        first, second = (str(entered.get(name, "")).strip().upper() for name in ("reference", "again"))
        if first != second:
            raise forms.ValidationError("The two references differ: nothing was started.")
        return entered | {"reference": first}


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    service_errors = (RequestError,)
    list_display = ["name", "status", "progress", "started_at", "answered_at", "closed_at", "waiting_for"]
    list_filter = [("state", ChoicesDropdownFilter), ("started_at", DayRangeFilter)]
    search_fields = ["request__reference"]
    search_help_text = "Reference of the request"
    fieldsets = [
        (None, {"fields": ["of_request", "status", "scope", "waiting_for"]}),
        ("When", {"fields": ["started_by", "started_at", "begun_at", "denied_at", "answered_at", "closed_at"]}),
    ]
    actions_list = ["start"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Erasure]:
        return super().get_queryset(request).select_related("request").prefetch_related("steps")

    @display(description="Request")
    def name(self, erasure: Erasure) -> str:
        return erasure.request.reference if erasure.request else erasure.get_cause_display()

    @display(description="Request")
    def of_request(self, erasure: Erasure) -> str:
        return link_to_request(erasure.request) if erasure.request else self.name(erasure)

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
        open_ones = [f"{found[state]} {state.value}" for state in SHOWN_FIRST[:-1] if found[state]]
        return ", ".join([*open_ones, f"{found[State.CHECKED]} of {found.total()} checked"])

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Model | None = None, **kwargs: Any
    ) -> HttpResponse:
        if isinstance(obj, Erasure):
            context["progress"] = progress_of(obj)
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def has_start_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("erasure.run_erasure"))

    @action(description="Start an erasure", url_path="start", permissions=["start"], variant=ActionVariant.DANGER)
    def start(self, request: HttpRequest) -> HttpResponse:
        """The start: from a request's page, which the address names, or with a reference that is entered."""
        asking = request_of_address(request)

        def form_of(posted: Any) -> forms.Form:
            return StartForm(posted, reference=asking.reference if asking else "")

        def then(answers: dict[str, Any]) -> HttpResponse:
            erasure = start(answers["reference"], staff(request.user.get_username()))
            messages.success(request, "The erasure starts within seconds. Load this page again to see how far it is.")
            return redirect(page_of_request(asking)) if asking else self.redirect_to(erasure)

        return self.confirm(
            request,
            None,
            form_of,
            then,
            title="Start an erasure",
            button="Start the erasure",
            danger=True,
            lead="The customer is denied everywhere at once, and everything of theirs is erased in every location, or "
            "what belongs to the purposes that the request names. It can't be undone, and the request can neither be "
            "withdrawn nor refused any more.",
            **({"facts": self._facts(request, asking), "back": page_of_request(asking)} if asking else {}),
        )

    def _facts(self, request: HttpRequest, asking: SubjectRequest) -> list[tuple[str, str]]:
        facts = facts_of_start(request, asking)
        facts.append(("Scope", f"Only purposes {', '.join(asking.purposes)}" if asking.purposes else "Everything"))
        for hold in active_holds(database_now()).filter(subject=asking.subject) if asking.subject else ():
            facts.append((f"Legal hold {hold.pk}", f"keeps {', '.join(map(title_of, hold.locations)) or 'everything'}"))
        return facts
