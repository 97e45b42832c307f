"""Admin page of customers: search by id, permissions and their reasons, and pages that record a decision."""

import json
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Model, QuerySet, Value, When
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, DropdownFilter
from unfold.decorators import action

from featurestore.auditlog.services import signed_document
from featurestore.backoffice.base import ReadOnlyAdmin, found_exactly
from featurestore.backoffice.permitted import permitted
from featurestore.backoffice.reauthentication import ask_again
from featurestore.clock import database_now
from featurestore.consent import selectors, services
from featurestore.consent.errors import ConsentError
from featurestore.consent.models import CurrentPermission, Notice, Purpose
from featurestore.consent.permission_derivation import Basis, Decision
from featurestore.consent.services import Choice
from featurestore.customers.models import Customer
from featurestore.profiles.admin.as_of import AsOfForm, past_of
from featurestore.profiles.admin.decision_forms import DecisionForm, GiveForm
from featurestore.profiles.admin.status import status_of
from featurestore.profiles.as_of_document import KIND, as_of_document
from featurestore.profiles.errors import UnknownClient

READS_OF_ALL = ("accesslog.view_accessrecord", "access.view_apiclient")
"""Permissions to see the reads of every client."""
MAX_TIMELINE_RECORDS = 50
"""Consent records on the customer's page; the list of consent records has all."""

PENDING_MESSAGE = (
    "Recorded, and pending: the store is unavailable or not vouched for. Within seconds either the decision is in "
    "effect, or every read is denied until it is."
)


class DecisionTexts(NamedTuple):
    """Texts of a decision's page: title, button, and the message once the decision is in effect."""

    title: str
    button: str
    effective: str


DENIED = "and in effect. The store denies every read from now on."
ALLOWED = "and in effect. The store allows it."
CONSENT = {
    Decision.GIVEN: DecisionTexts("Give consent", "Record the consent", f"consent given, {ALLOWED}"),
    Decision.WITHDRAWN: DecisionTexts("Withdraw consent", "Withdraw now", f"consent withdrawn, {DENIED}"),
}
OBJECTION = {
    Decision.GIVEN: DecisionTexts("Take the objection back", "Take it back", f"objection taken back, {ALLOWED}"),
    Decision.WITHDRAWN: DecisionTexts("Object", "Record the objection", f"objection recorded, {DENIED}"),
}
ALL_PURPOSES, STAYS_PAUSED = (
    "All purposes",
    "recorded. The purpose stays paused: reads are denied until that is lifted.",
)
PAUSES = {
    Decision.PAUSED: (DecisionTexts("Pause", "Pause now", f"paused, {DENIED} Nothing is deleted."), services.pause),
    Decision.LIFTED: (
        DecisionTexts("Lift the pause", "Lift now", "lifted, and in effect. Events count from now on."),
        services.lift,
    ),
}
PAUSE_LEADS = {
    Decision.PAUSED: (
        "Restriction of processing (GDPR, Article 18): until it is lifted, no event is counted and nothing is "
        "answered. What was counted before is kept. A withdrawal and an erasure delete it all the same."
    ),
    Decision.LIFTED: (
        "Inform the customer before (GDPR, Article 18(3)). What was counted before the pause counts again, and new "
        "events do; events during the pause never will. A consent whose time was over meanwhile ends."
    ),
}


class PausedFilter(DropdownFilter):
    """Filter of customers with a paused purpose."""

    title = "pause"
    parameter_name = "paused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Paused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        paused = CurrentPermission.objects.filter(paused=True).values("customer")
        return queryset.filter(pk__in=paused) if self.value() == "yes" else queryset


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    service_errors = (ConsentError,)
    list_display = ["customer_id", "region", "brand", "since"]
    list_filter = [PausedFilter, ("region", AllValuesCheckboxFilter), ("brand", AllValuesCheckboxFilter)]
    search_fields = ["customer_id"]
    search_help_text = "Customer id, or its beginning"
    ordering = ["customer_id"]
    fields = ["customer_id", "region", "brand", "since", "subject"]
    actions_detail = ["values", "reads", "past"]
    actions_list = ["past_of_any"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        return super().get_queryset(request).filter(erased_at=None)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Customers whose id starts with the term, which an index finds; the one with exactly this id first."""
        if not search_term:
            return queryset, False
        exact_first = Case(When(customer_id=search_term, then=Value(0)), default=Value(1))
        begin_so = queryset.filter(customer_id__startswith=search_term)  # in SQLite it takes a for A
        found = begin_so.alias(beginning=Left("customer_id", len(search_term))).filter(beginning=search_term)
        return found_exactly(request, found.order_by(exact_first, "customer_id"), search_term), False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:object_id>/<slug:purpose>/give/", wrap(self.give), name="customers_customer_give"),
            path("<int:object_id>/<slug:purpose>/withdraw/", wrap(self.withdraw), name="customers_customer_withdraw"),
            path("<int:object_id>/<slug:purpose>/pause/", wrap(self.pause), name="customers_customer_pause"),
            path("<int:object_id>/<slug:purpose>/lift/", wrap(self.lift), name="customers_customer_lift"),
            path("<int:object_id>/pause/", wrap(self.pause), name="customers_customer_pause_all"),
            path("<int:object_id>/lift/", wrap(self.lift), name="customers_customer_lift_all"),
            path("as-of/", wrap(self.as_of), name="customers_customer_as_of"),
            path("as-of/sign/", wrap(self.sign_as_of), name="customers_customer_sign_as_of"),
            *super().get_urls(),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Model | None = None, **kwargs: Any
    ) -> HttpResponse:
        if isinstance(obj, Customer) and request.user.has_perm("consent.view_consentrecord"):
            context["status"] = status_of(obj)
            context["timeline"] = selectors.timeline(obj.customer_id)[:MAX_TIMELINE_RECORDS]
            context["may_decide"] = self.may_decide(request)
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def has_reads_permission(self, request: HttpRequest, object_id: str) -> bool:
        return bool(request.user.has_perm("accesslog.view_accessrecord"))

    @action(description="Who read this", url_path="reads", permissions=["reads"], icon="visibility")
    def reads(self, request: HttpRequest, object_id: str) -> HttpResponse:
        query = urlencode({"q": self.get_or_404(request, object_id).customer_id})
        return HttpResponseRedirect(f"{reverse('admin:accesslog_accessrecord_changelist')}?{query}")

    def has_values_permission(self, request: HttpRequest, object_id: str) -> bool:
        return bool(request.user.has_perm("staffreads.view_values"))

    @action(description="What a chat engine is told", url_path="values", permissions=["values"], icon="smart_toy")
    def values(self, request: HttpRequest, object_id: str) -> HttpResponse:
        query = urlencode({"customer_id": self.get_or_404(request, object_id).customer_id})
        return HttpResponseRedirect(f"{reverse('admin:staffreads_values')}?{query}")

    def has_past_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(request.user.has_perm("consent.view_consentrecord"))

    @action(description="As of a time", url_path="past", permissions=["past"], icon="history")
    def past(self, request: HttpRequest, object_id: str) -> HttpResponse:
        query = urlencode({"customer_id": self.get_or_404(request, object_id).customer_id})
        return HttpResponseRedirect(f"{reverse('admin:customers_customer_as_of')}?{query}")

    @action(description="As of a time", url_path="past", permissions=["past"], icon="history")
    def past_of_any(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:customers_customer_as_of"))

    @method_decorator(require_safe)
    def as_of(self, request: HttpRequest) -> HttpResponse:
        """Page that shows what a customer allowed at a past time, and who read what on the day before it."""
        if not self.has_past_permission(request):
            raise PermissionDenied
        form = AsOfForm(request.GET if "at" in request.GET else None, initial=request.GET.dict())
        context: dict[str, Any] = {"form": form, "title": "What was allowed at a time"}
        if form.is_valid():
            try:
                context |= past_of(**form.cleaned_data)
            except ConsentError as error:
                form.add_error(None, str(error))
            else:
                context["may_sign"] = request.user.has_perms(READS_OF_ALL)
                if not context["may_sign"]:
                    del context["reads"]
        return self.render_page(request, None, "admin/customers/customer/as_of.html", **context)

    def sign_as_of(self, request: HttpRequest) -> HttpResponse:
        """Issue what the page shows as a signed document, or download it once a tree head covers its entry.

        The question is in the address, so that who is asked for a password comes back to the page that shows it.
        """
        if not (self.has_past_permission(request) and request.user.has_perms(READS_OF_ALL)):
            raise PermissionDenied
        if again := ask_again(request):
            return again
        form, page = AsOfForm(request.GET), f"{reverse('admin:customers_customer_as_of')}?{request.GET.urlencode()}"
        if request.method != "POST" or not form.is_valid():
            return HttpResponseRedirect(page)
        try:
            document, subject = as_of_document(**form.cleaned_data)
        except (ConsentError, UnknownClient) as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(page)
        staff, now = request.user.get_username(), database_now()
        signed = signed_document(KIND, document, subject=subject, actor=staff, now=now)
        if signed is None:
            messages.success(request, "The document is issued. Ask again in a minute: it is signed by then.")
            return HttpResponseRedirect(page)
        response = HttpResponse(json.dumps(signed, indent=2, ensure_ascii=False), content_type="application/json")
        response["Content-Disposition"] = 'attachment; filename="as-of.json"'
        return response

    def may_decide(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("consent.add_consentrecord"))

    def give(self, request: HttpRequest, object_id: int, purpose: str) -> HttpResponse:
        return self._decide(request, object_id, purpose, Decision.GIVEN)

    def withdraw(self, request: HttpRequest, object_id: int, purpose: str) -> HttpResponse:
        return self._decide(request, object_id, purpose, Decision.WITHDRAWN)

    def pause(self, request: HttpRequest, object_id: int, purpose: str | None = None) -> HttpResponse:
        return self._restrict(request, object_id, purpose, Decision.PAUSED)

    def lift(self, request: HttpRequest, object_id: int, purpose: str | None = None) -> HttpResponse:
        return self._restrict(request, object_id, purpose, Decision.LIFTED)

    def _restrict(
        self, request: HttpRequest, object_id: int, purpose_name: str | None, decision: Decision
    ) -> HttpResponse:
        """Page that pauses or lifts one purpose, or all."""
        if not self.may_decide(request):
            raise PermissionDenied
        customer = self.get_or_404(request, str(object_id))
        purpose = get_object_or_404(permitted(request, Purpose), name=purpose_name) if purpose_name else None
        texts, record = PAUSES[decision]

        def then(answers: dict[str, Any]) -> HttpResponse:
            recorded = record(customer.customer_id, purpose_name, actor=request.user.get_username(), **answers)
            all_of_them = all(one.repeated for one in recorded), all(one.effective for one in recorded)
            self._report(request, *all_of_them, f"{purpose.title if purpose else ALL_PURPOSES}: {texts.effective}")
            return self.redirect_to(customer)

        return self.confirm(
            request,
            customer,
            DecisionForm,
            then,
            title=texts.title,
            button=texts.button,
            danger=decision is Decision.PAUSED,
            lead=PAUSE_LEADS[decision],
            facts=[("Customer", customer.customer_id), ("Purpose", purpose.name if purpose else ALL_PURPOSES)],
        )

    def _decide(self, request: HttpRequest, object_id: int, purpose_name: str, decision: Decision) -> HttpResponse:
        if not self.may_decide(request):
            raise PermissionDenied
        customer = self.get_or_404(request, str(object_id))
        purpose = get_object_or_404(permitted(request, Purpose), name=purpose_name)
        texts = (OBJECTION if purpose.lawful_basis == Basis.LEGITIMATE_INTEREST else CONSENT)[decision]

        def then(answers: dict[str, Any]) -> HttpResponse:
            notice, actor = answers.get("notice"), request.user.get_username()
            reference = notice.reference if notice else None
            choice = Choice(
                customer.customer_id, purpose.name, decision, answers["method"], actor, reference, answers["reason"]
            )
            recorded = services.record_decisions([choice])[0]
            message = f"{purpose.title}: {STAYS_PAUSED if recorded.paused else texts.effective}"
            self._report(request, recorded.repeated, recorded.effective, message)
            return self.redirect_to(customer)

        return self.confirm(
            request,
            customer,
            partial(GiveForm, purpose=purpose, notices=permitted(request, Notice))
            if decision is Decision.GIVEN
            else DecisionForm,
            then,
            title=texts.title,
            button=texts.button,
            danger=decision is Decision.WITHDRAWN,
            lead=f"{purpose.title}. {purpose.description}",
            facts=[
                ("Customer", customer.customer_id),
                ("Purpose", purpose.name),
                ("Lawful basis", purpose.get_lawful_basis_display()),
            ],
        )

    def _report(self, request: HttpRequest, repeated: bool, effective: bool, effective_message: str) -> None:
        if repeated:
            messages.info(request, "The decision was recorded once more; it was in effect before.")
        if effective:
            messages.success(request, effective_message)
        else:
            messages.warning(request, PENDING_MESSAGE)
