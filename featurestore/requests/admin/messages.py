"""Admin page of messages to customers: what was sent, what could not be, and what staff send by hand."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display

from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.requests.actors import staff
from featurestore.requests.admin.addresses import link_to_request, page_of_request
from featurestore.requests.admin.forms import ReasonForm
from featurestore.requests.errors import RequestError
from featurestore.requests.models import CustomerMessage
from featurestore.requests.selectors import TO_SEND_BY_HAND
from featurestore.requests.services.messages import mark_sent_by_hand, send_again
from featurestore.subjectkeys.fields import shown_text

COLOURS = {"Sent": "success", "Not delivered": "danger", "To be sent by hand": "warning", "To be sent": "info"}
State = CustomerMessage.State
NEXT = "Give this text to the customer by post, telephone or otherwise, and record how."
FROM_EXPORT = "The dots stand for it. Whoever may hand exports over sees it on the export's page: Link and passphrase."
SECRET: dict[str, str] = {
    CustomerMessage.Kind.CODE: "The dots stand for the code, which is made when it is sent and not stored.",
    CustomerMessage.Kind.EXPORT_LINK: FROM_EXPORT,
    CustomerMessage.Kind.PASSPHRASE: FROM_EXPORT,
}
"""What the page says of kinds whose stored text lacks a secret."""


class WaitingFilter(DropdownFilter):
    """Filter of messages that staff must send."""

    title = "waiting"
    parameter_name = "waiting"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "To be sent by hand")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(TO_SEND_BY_HAND) if self.value() == "yes" else queryset


@admin.register(CustomerMessage)
class CustomerMessageAdmin(ReadOnlyAdmin):
    """Messages. Their text is shown to those who may view customers."""

    service_errors = (RequestError,)
    list_display = ["created_at", "of_request", "kind", "status", "language", "sent_at", "attempts", "last_error"]
    list_filter = [WaitingFilter, ("state", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter)]
    list_select_related = ["request"]
    ordering = ["-created_at", "-pk"]
    exact_search_field = "request__reference"
    search_fields = ["request__reference"]
    search_help_text = "Reference of a request"
    fields = [
        *("of_request", "kind", "status", "language", "created_at", "sent_at", "attempts", "last_error", "told"),
    ]
    actions_detail = ["again", "by_hand"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CustomerMessage]:
        return super().get_queryset(request).select_related("request")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sees = request.user.has_perm("customers.view_customer")
        return [(None, {"fields": [name for name in self.fields if sees or name != "told"]})]

    @display(description="Request", ordering="request__reference")
    def of_request(self, message: CustomerMessage) -> str:
        return link_to_request(message.request)

    @display(description="State", ordering="state", label=COLOURS)
    def status(self, message: CustomerMessage) -> str:
        return str(message.get_state_display())

    @display(description="Text")
    def told(self, message: CustomerMessage) -> str:
        shown = format_html('<div class="rp-prose">{}</div>', shown_text(message, "text"))
        return format_html("{}<p>{}</p>", shown, SECRET[message.kind]) if message.kind in SECRET else shown

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Model | None = None, **kwargs: Any
    ) -> HttpResponse:
        if isinstance(obj, CustomerMessage) and self.has_send_permission(request, str(obj.pk)):
            context["actions_detail"] = []  # shown below what is next, and not at the top a second time
            context["next_text"] = NEXT
            context["primary"] = [("It is sent", reverse("admin:requests_customermessage_by_hand", args=[obj.pk]))]
            context["others"] = [("Send again", reverse("admin:requests_customermessage_again", args=[obj.pk]))]
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def has_send_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("requests.change_subjectrequest"):
            return False
        found = self.get_object(request, object_id) if object_id else None
        return found is not None and found.state in (State.BY_HAND, State.FAILED)

    @action(description="Send again", url_path="again", permissions=["send"])
    def again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        found = self._message(request, object_id)

        def then(_: dict[str, Any]) -> HttpResponse:
            send_again(found)
            messages.success(request, "It is sent within seconds.")
            return self.redirect_to(found)

        return self.confirm(
            request, found, forms.Form, then, title="Send it again", button="Send",
            lead="To the newest contact on record that this installation can reach.",
        )  # fmt: skip

    @action(description="Sent by hand", url_path="by-hand", permissions=["send"])
    def by_hand(self, request: HttpRequest, object_id: str) -> HttpResponse:
        found = self._message(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            mark_sent_by_hand(found, staff(request.user.get_username()), answers["reason"])
            messages.success(request, "Recorded as sent.")
            return redirect(page_of_request(found.request))

        return self.confirm(
            request, found, ReasonForm, then, title="Sent by hand", button="It is sent",
            lead="The text below was sent by post, by telephone or otherwise. State how.",
        )  # fmt: skip

    def _message(self, request: HttpRequest, object_id: str) -> CustomerMessage:
        found: CustomerMessage = self.get_or_404(request, object_id)
        if not self.has_send_permission(request, object_id):
            raise PermissionDenied
        return found
