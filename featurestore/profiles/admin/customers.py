"""Customers: found by their id, with what they allow, why, and whether the store says the same."""

from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Model, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from unfold.contrib.filters.admin import AllValuesCheckboxFilter
from unfold.decorators import action

from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.consent import selectors, services
from featurestore.consent.errors import ConsentError
from featurestore.consent.models import Purpose
from featurestore.consent.purpose_states import Basis, Decision
from featurestore.consent.services import Choice, RecordedDecision
from featurestore.customers.models import Customer
from featurestore.profiles.admin.decisions import DecisionForm, GiveForm
from featurestore.profiles.admin.status import status_of

SHOWN = 50
"""Records on the customer's page; the list of records has them all."""

PENDING = (
    "Recorded, and pending: the store is away or nobody vouches for it. Within seconds the store obeys, or every "
    "read is denied until it does."
)


class Words(NamedTuple):
    """A decision's page: its title, its button, and what is said once the store obeys."""

    title: str
    act: str
    done: str


DENIED = "in effect. The store denies every read from now on."
ALLOWED = "in effect. The store allows it."
CONSENT = {
    Decision.GIVEN: Words("Give consent", "Record the consent", f"given, and {ALLOWED}"),
    Decision.WITHDRAWN: Words("Withdraw consent", "Withdraw now", f"withdrawn, and {DENIED}"),
}
OBJECTION = {
    Decision.GIVEN: Words(
        "Take an objection back", "Take it back", f"the objection is taken back, and that is {ALLOWED}"
    ),
    Decision.WITHDRAWN: Words("Object", "Record the objection", f"objected to, and {DENIED}"),
}


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    service_errors = (ConsentError,)
    list_display = ["customer_id", "region", "brand", "since"]
    list_filter = [("region", AllValuesCheckboxFilter), ("brand", AllValuesCheckboxFilter)]
    search_fields = ["customer_id"]
    search_help_text = "Customer id, or its beginning"
    ordering = ["customer_id"]
    fields = ["customer_id", "region", "brand", "since", "subject"]
    actions_detail = ["reads"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        return super().get_queryset(request).filter(erased_at=None)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The customer with this very id first, then those whose id begins with it: what an index can find."""
        if not (term := search_term.strip()):
            return queryset, False
        exact_first = Case(When(customer_id=term, then=Value(0)), default=Value(1))
        return queryset.filter(customer_id__startswith=term).order_by(exact_first, "customer_id"), False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:object_id>/<slug:purpose>/give/", wrap(self.give), name="customers_customer_give"),
            path("<int:object_id>/<slug:purpose>/withdraw/", wrap(self.withdraw), name="customers_customer_withdraw"),
            *super().get_urls(),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Model | None = None, **kwargs: Any
    ) -> HttpResponse:
        if isinstance(obj, Customer) and request.user.has_perm("consent.view_consentrecord"):
            context["status"] = status_of(obj)
            context["timeline"] = selectors.timeline(obj.customer_id)[:SHOWN]
            context["may_decide"] = self.may_decide(request)
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def has_reads_permission(self, request: HttpRequest, object_id: str) -> bool:
        return bool(request.user.has_perm("accesslog.view_accessrecord"))

    @action(description="Who read this", url_path="reads", permissions=["reads"], icon="visibility")
    def reads(self, request: HttpRequest, object_id: str) -> HttpResponse:
        asked = urlencode({"q": self.get_or_404(request, object_id).customer_id})
        return HttpResponseRedirect(f"{reverse('admin:accesslog_accessrecord_changelist')}?{asked}")

    def may_decide(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("consent.add_consentrecord"))

    def give(self, request: HttpRequest, object_id: int, purpose: str) -> HttpResponse:
        return self._decide(request, object_id, purpose, Decision.GIVEN)

    def withdraw(self, request: HttpRequest, object_id: int, purpose: str) -> HttpResponse:
        return self._decide(request, object_id, purpose, Decision.WITHDRAWN)

    def _decide(self, request: HttpRequest, object_id: int, purpose: str, decision: Decision) -> HttpResponse:
        customer, asked = self._about(request, object_id, purpose)
        words = (OBJECTION if asked.lawful_basis == Basis.LEGITIMATE_INTEREST else CONSENT)[decision]

        def then(answers: dict[str, Any]) -> HttpResponse:
            notice, actor = answers.get("notice"), request.user.get_username()
            reference = notice.reference if notice else None
            choice = Choice(
                customer.customer_id, asked.name, decision, answers["method"], actor, reference, answers["reason"]
            )
            self._say(request, services.record_decisions([choice])[0], f"{asked.title}: {words.done}")
            return self.redirect_to(customer)

        return self.confirm(
            request,
            customer,
            partial(GiveForm, purpose=asked) if decision is Decision.GIVEN else DecisionForm,
            then,
            title=words.title,
            button=words.act,
            danger=decision is Decision.WITHDRAWN,
            lead=f"{asked.title}. {asked.description}",
            facts=[
                ("Customer", customer.customer_id),
                ("Purpose", asked.name),
                ("Lawful basis", asked.get_lawful_basis_display()),
            ],
        )

    def _about(self, request: HttpRequest, object_id: int, purpose: str) -> tuple[Customer, Purpose]:
        if not self.may_decide(request):
            raise PermissionDenied
        return self.get_or_404(request, str(object_id)), get_object_or_404(Purpose, name=purpose)

    def _say(self, request: HttpRequest, decided: RecordedDecision, in_effect: str) -> None:
        if decided.repeated:
            messages.info(request, "Nothing changed but the record: this was so already.")
        if decided.effective:
            messages.success(request, in_effect)
        else:
            messages.warning(request, PENDING)
