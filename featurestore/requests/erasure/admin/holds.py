"""Admin page of legal holds: whose rows are kept, where, why and until when; placed and released here."""

from operator import itemgetter
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from featurestore.backoffice.filters import DayRangeFilter
from featurestore.clock import database_now
from featurestore.customers.models import LegalHold
from featurestore.customers.selectors import active_holds
from featurestore.customers.subject_admin import SubjectRowAdmin
from featurestore.locations import registry
from featurestore.requests.actors import staff
from featurestore.requests.admin.addresses import page_of_request, request_of_address
from featurestore.requests.erasure.certificate import title_of
from featurestore.requests.erasure.holds import LONGEST_REASON, place_hold, release_hold
from featurestore.requests.errors import RequestError


class HoldForm(forms.Form):
    customer_id = forms.CharField(
        max_length=256, strip=False, widget=UnfoldAdminTextInputWidget, help_text="Only its digest is stored."
    )
    locations = forms.MultipleChoiceField(
        required=False,
        choices=lambda: sorted(((one.name, one.title) for one in registry.in_order()), key=itemgetter(1)),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Where rows are kept; none chosen: everywhere.",
    )
    ends_at = forms.SplitDateTimeField(
        label="Until", required=False, widget=UnfoldAdminSplitDateTimeWidget, help_text="Empty: until it is released."
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="The duty or claim that demands it. Name no customer: it is shown with every erasure it blocks.",
    )


class ReleaseForm(forms.Form):
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Why the rows need not be kept any more.",
    )


@admin.register(LegalHold)
class LegalHoldAdmin(SubjectRowAdmin):
    service_errors = (RequestError,)
    list_display = ["placed_at", "customer", "where", "reason", "status", "ends_at", "placed_by"]
    list_filter = [("placed_at", DayRangeFilter)]
    fieldsets = [
        (None, {"fields": ["customer", "where", "reason", "status"]}),
        ("When", {"fields": ["begins_at", "ends_at", "placed_by", "placed_at"]}),
        ("Release", {"fields": ["released_by", "released_at", "release_reason"]}),
    ]
    actions_list = ["place"]
    actions_detail = ["release"]

    @display(description="Where")
    def where(self, hold: LegalHold) -> str:
        return ", ".join(map(title_of, hold.locations)) or "Everywhere"

    @display(description="State", label={"In force": "warning", "Released": "success"})
    def status(self, hold: LegalHold) -> str:
        if hold.released_at:
            return "Released"
        return "In force" if active_holds(database_now()).filter(pk=hold.pk).exists() else "Not in force"

    def has_place_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("customers.add_legalhold"))

    def has_release_permission(self, request: HttpRequest, object_id: str) -> bool:
        hold = self.get_object(request, object_id)
        is_open = hold is not None and hold.released_at is None
        return is_open and bool(request.user.has_perm("customers.change_legalhold"))

    @action(description="Place a hold", url_path="place", permissions=["place"])
    def place(self, request: HttpRequest) -> HttpResponse:
        """The placing: from the page of a request, whose customer is filled in, or of anybody."""
        asking = request_of_address(request)
        known = asking.customer_id if asking and self.may_see_customers(request) else ""

        def form_of(posted: Any) -> forms.Form:
            return HoldForm(posted, initial={"customer_id": known})

        def then(answers: dict[str, Any]) -> HttpResponse:
            hold = place_hold(
                answers["customer_id"],
                answers["locations"],
                answers["reason"],
                staff(request.user.get_username()),
                ends_at=answers["ends_at"],
            )
            messages.success(request, "Placed. What is erased already can't be kept; the rest is from now on.")
            return redirect(page_of_request(asking)) if asking else self.redirect_to(hold)

        return self.confirm(
            request,
            None,
            form_of,
            then,
            title="Place a legal hold",
            button="Place the hold",
            lead="The customer's rows in these locations are kept, whatever an erasure or a retention says. Everything "
            "else is erased as asked. Using the data stays forbidden once the customer is erased.",
            **({"back": page_of_request(asking)} if asking else {}),
        )

    @action(description="Release", url_path="release", permissions=["release"])
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        hold = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            release_hold(hold.pk, answers["reason"], staff(request.user.get_username()))
            messages.success(request, "Released. Erasures that it blocked go on within seconds.")
            return self.redirect_to(hold)

        return self.confirm(
            request,
            hold,
            ReleaseForm,
            then,
            title="Release this legal hold",
            button="Release",
            lead="Erasures that it blocked go on at once, and can't be undone.",
            facts=[("Where", self.where(hold)), ("Reason", hold.reason)],
        )
