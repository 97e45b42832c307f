"""Admin page of requests: the queue, what is due first; a request's page with its timeline and actions; intake."""

from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Model, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.timezone import localtime
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display

from featurestore.backoffice.base import found_exactly
from featurestore.backoffice.filters import DayRangeFilter
from featurestore.clock import database_now
from featurestore.consent.errors import ConsentError
from featurestore.customers.selectors import stored_subject
from featurestore.customers.subject_admin import SubjectRowAdmin
from featurestore.requests import selectors, services
from featurestore.requests.actors import staff
from featurestore.requests.admin.bulk import act_on_selection
from featurestore.requests.admin.due import DUE_COLOURS, due_text
from featurestore.requests.admin.forms import IntakeForm, LinkForm, confirmation_of
from featurestore.requests.admin.next_column import next_title, with_next
from featurestore.requests.admin.next_step import SEE_ERASURE, SEE_EXPORT, Button, erasure_of, hold_link, next_step
from featurestore.requests.admin.pages import (
    ANSWER,
    BY_NAME,
    PAGES,
    RequestPage,
    effect_text,
    facts_of,
    form_of,
    possible,
)
from featurestore.requests.admin.shown import AssignedFilter, ShownFilter, shown_links
from featurestore.requests.admin.timeline import timeline_of
from featurestore.requests.erasure.progress import progress_of
from featurestore.requests.errors import RequestError
from featurestore.requests.form_links import FormLink, form_url
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services import Intake
from featurestore.requests.services.preview import message_text
from featurestore.requests.states import WORKED_ON
from featurestore.subjectkeys.fields import shown_text

COLOURS = {
    "Received": "info", "Awaiting verification": "info", "Open": "warning", "In progress": "primary",
    "Waiting": "info", "To approve": "warning", "Answered": "success", "Refused": "danger",
}  # fmt: skip


@admin.register(SubjectRequest)
class SubjectRequestAdmin(SubjectRowAdmin):
    """Requests. Who may view them sees all; whom one is assigned to may work on it as an officer may."""

    service_errors = (RequestError, ConsentError)
    list_display = ["reference", "type", "status", "due", "what_next", "customer", "regime", "worker", "received"]
    list_filter = [
        ShownFilter,
        AssignedFilter,
        ("type", ChoicesDropdownFilter),
        ("received_at", DayRangeFilter),
    ]
    list_select_related = ["regime", "rule", "assignee", "erasure"]
    search_help_text = "Reference or customer id, in full"
    ordering = [Case(When(paused_at=None, then=Value(0)), default=Value(1)), "due_at", "pk"]
    fieldsets = [(None, {"fields": ["reference", "type", "status", "due", "customer", "regime"]})]
    list_before_template = "admin/requests/subjectrequest/shown.html"
    actions_list = ["make_link"]
    actions = ["assign_selected", "answer_selected", "extend_selected", "close_selected"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_next(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        by_reference = queryset.filter(reference=search_term.strip().upper())
        if by_reference.exists() or not self.may_see_customers(request):
            return by_reference, False
        return found_exactly(request, queryset.filter(subject=stored_subject(search_term)), search_term), False

    # --------------------------------------------------------------------------------------------------------- columns
    @display(description="State", ordering="state", label=COLOURS)
    def status(self, request: SubjectRequest) -> str:
        return str(request.get_state_display())

    @display(description="Due", ordering="due_at", label=DUE_COLOURS)
    def due(self, request: SubjectRequest) -> tuple[str, str]:
        return due_text(request, database_now())

    @display(description="What is next")
    def what_next(self, request: SubjectRequest) -> str:
        return next_title(request)

    @display(description="Received", ordering="received_at")
    def received(self, request: SubjectRequest) -> str:
        return f"{localtime(request.received_at):%-d %b %Y}"

    @display(description="Assigned to", empty_value="–")
    def worker(self, request: SubjectRequest) -> str | None:
        return request.assignee.get_username() if request.assignee else None

    @display(description="Customer", empty_value="–")
    def customer(self, row: Any) -> Any:
        shown = super().customer(row)
        return row.customer_id or None if shown is None else shown

    # ----------------------------------------------------------------------------------------------------- permissions
    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("requests.add_subjectrequest"))

    def may(self, request: HttpRequest, page: RequestPage, row: SubjectRequest) -> bool:
        """Whether the user may act so on a request, by role or as its assignee, and its state allows it."""
        by_role = bool(request.user.has_perm(f"requests.{page.permission}_subjectrequest"))
        assigned = page.permission == ANSWER and page.name != "assign" and row.assignee_id == request.user.pk
        return (by_role or assigned) and possible(row, page)

    def has_link_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    def has_work_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("requests.change_subjectrequest"))

    # ----------------------------------------------------------------------------------------------------------- pages
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"links": shown_links(request)} | (extra_context or {}))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        pages = [
            path(
                f"<int:object_id>/{page.name}/",
                wrap(partial(self.act, name=page.name)),
                name=f"requests_subjectrequest_{page.name}",
            )
            for page in PAGES
        ]
        return [*pages, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Model | None = None, **kwargs: Any
    ) -> HttpResponse:
        if isinstance(obj, SubjectRequest):
            sees, erasure = self.may_see_customers(request), erasure_of(obj)
            progress = progress_of(erasure) if erasure else None
            pages = [(page, self.address_of(page, obj)) for page in PAGES if self.may(request, page, obj)]
            buttons = {page.name: Button(page.title, address, page.name) for page, address in pages}
            step = next_step(request, obj, buttons, progress)
            context |= {
                "due": due_text(obj, database_now()),
                "pages": pages,
                "next_step": step,
                "others": sorted(
                    ((page, address) for page, address in pages if page.name not in step.pages),
                    key=lambda one: one[0].danger,
                ),
                "progress": progress if request.user.has_perm(SEE_ERASURE) else None,
                "progress_link": reverse("admin:erasure_erasure_change", args=[erasure.pk]) if erasure else "",
                "hold_link": hold_link(request, obj),
                "exports": obj.exports.all() if request.user.has_perm(SEE_EXPORT) else (),
                "sees_customer": sees,
                "details": shown_text(obj, "details") if sees else "",
                "answer": shown_text(obj, "answer") if sees else "",
                "effect": effect_text(obj) if obj.state in WORKED_ON else "",
                "timeline": timeline_of(obj),
                "sees_messages": request.user.has_perm("requests.view_customermessage"),
                "sent": obj.messages.order_by("pk"),
                "contacts": selectors.contacts_of(obj.subject),
                "linked": obj.duplicates.order_by("received_at"),
            }
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    @staticmethod
    def address_of(page: RequestPage, row: SubjectRequest) -> str:
        return reverse(f"admin:requests_subjectrequest_{page.name}", args=[row.pk])

    def act(self, request: HttpRequest, object_id: int, name: str) -> HttpResponse:
        """The page of one action. One that writes to the customer shows the message before it is sent."""
        page, row = BY_NAME[name], self.get_or_404(request, str(object_id))
        if not self.may(request, page, row):
            raise PermissionDenied
        make_form = form_of(page, row, request.user.pk)
        texts = {"title": page.title, "button": page.button, "lead": page.lead, "danger": page.danger}
        facts = facts_of(row, page)

        def then(answers: dict[str, Any]) -> HttpResponse:
            if page.message and not answers.get("confirmed"):
                words = {key: str(value) for key, value in answers.items()} | {"answer": answers.get("text", "")}
                shown = message_text(row, page.message, **words)
                again = confirmation_of(page.form, request.POST)
                more = {**texts, "preview": shown, "facts": facts, "form": again, "button": page.button}
                return self.render_page(request, row, "admin/confirmation.html", **more)
            warning = page.act(row, staff(request.user.get_username()), answers)
            messages.success(request, page.done)
            if warning:
                messages.warning(request, warning)
            return self.redirect_to(row)

        if page.message:
            texts["button"] = page.button if request.POST.get("confirmed") else "Look at the message"
        return self.confirm(request, row, make_form, then, facts=facts, **texts)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Intake: a request that reached staff by telephone, post or in the shop."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def then(answers: dict[str, Any]) -> HttpResponse:
            intake = Intake(channel=SubjectRequest.Channel.STAFF, **answers)
            found = services.receive(intake, staff(request.user.get_username())).request
            messages.success(request, f"Recorded as {found.reference}. Verify the customer before anything is done.")
            return self.redirect_to(found)

        return self.confirm(
            request,
            None,
            IntakeForm,
            then,
            title="Record a request",
            button="Record it",
            lead="What a customer asks for by telephone, by post or in the shop. The clock of its regime begins.",
        )

    @action(description="Make a link to the form", url_path="link", permissions=["link"], icon="link")
    def make_link(self, request: HttpRequest) -> HttpResponse:
        def then(answers: dict[str, Any]) -> HttpResponse:
            now = database_now()
            expires_at = now + timedelta(hours=answers["hours"])
            url = form_url(FormLink(answers["regime"], answers["language"]), expires_at, now)
            return self.render_page(
                request, None, "admin/requests/link.html", title="A link to the form", url=url, expires_at=expires_at
            )

        return self.confirm(
            request,
            None,
            LinkForm,
            then,
            title="Make a link to the form",
            button="Make the link",
            lead="A page on which a customer asks, without an account. Whoever asks is verified afterwards.",
        )

    # ----------------------------------------------------------------------------------------------------- bulk actions
    @action(description="Assign the selected", permissions=["work"])
    def assign_selected(self, request: HttpRequest, queryset: QuerySet[SubjectRequest]) -> HttpResponse | None:
        return self._bulk(request, queryset, "assign")

    @action(description="Answer the selected", permissions=["work"])
    def answer_selected(self, request: HttpRequest, queryset: QuerySet[SubjectRequest]) -> HttpResponse | None:
        return self._bulk(request, queryset, "answer")

    @action(description="Extend the selected", permissions=["work"])
    def extend_selected(self, request: HttpRequest, queryset: QuerySet[SubjectRequest]) -> HttpResponse | None:
        return self._bulk(request, queryset, "extend")

    @action(description="Close the selected", permissions=["work"])
    def close_selected(self, request: HttpRequest, queryset: QuerySet[SubjectRequest]) -> HttpResponse | None:
        return self._bulk(request, queryset, "close")

    def _bulk(self, request: HttpRequest, queryset: QuerySet[SubjectRequest], name: str) -> HttpResponse | None:
        return act_on_selection(self, request, queryset, name)
