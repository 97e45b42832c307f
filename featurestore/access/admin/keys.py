"""Pages of keys and secrets. The text of a new one is shown once, on the page that made it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from featurestore.access import services
from featurestore.access.admin.assigned_clients import AssignedClientAdmin
from featurestore.access.errors import AccessError
from featurestore.access.models import ApiKey, ClientSecret
from featurestore.backoffice.permitted import PermittedRelatedFilter

SOON = timedelta(days=14)
HOURS = services.OVERLAP // timedelta(hours=1)
STATE_COLOURS = {
    "Active": "success",
    "Expires soon": "warning",
    "Expired": "danger",
    "Revoked": "danger",
    "Client inactive": "danger",
}


Issued = ApiKey | ClientSecret


def state_of(key: Issued) -> str:
    """One of STATE_COLOURS."""
    now = datetime.now(UTC)
    if key.revoked_at:
        return "Revoked"
    if key.expires_at <= now:
        return "Expired"
    if not key.client.active:
        return "Client inactive"
    return "Expires soon" if key.expires_at <= now + SOON else "Active"


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "Not ended"), ("soon", "Expires soon"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now, unrevoked = datetime.now(UTC), queryset.filter(revoked_at=None)
        match self.value():
            case "live":
                return unrevoked.filter(expires_at__gt=now)
            case "soon":
                return unrevoked.filter(expires_at__gt=now, expires_at__lte=now + SOON)
            case "expired":
                return unrevoked.filter(expires_at__lte=now)
            case "revoked":
                return queryset.exclude(revoked_at=None)
        return queryset


class NewCredentialAdmin(AssignedClientAdmin):
    """Page that makes keys or secrets, and shows the text of each once."""

    def show_credential(self, request: HttpRequest, issued: Issued, text: str) -> HttpResponse:
        """The only page that shows a text. No session stores it, and the admin's pages are not cached."""
        self.log_addition(request, issued, f"{issued._meta.verbose_name} {issued}.")
        back = reverse("admin:access_apiclient_change", args=[issued.client_id])
        kind = "key" if isinstance(issued, ApiKey) else "secret"
        bound = issued if isinstance(issued, ApiKey) else issued.client
        context = {"title": f"Copy the {kind} now", "kind": kind, "issued": issued, "bound": bound, "text": text}
        return self.render_page(request, None, "admin/new_key.html", original=issued, back=back, **context)


class IssuedAdmin(NewCredentialAdmin):
    """Page of keys or secrets: shown, rotated and revoked here; made on the client's page."""

    service_errors = (AccessError,)
    client_path = "client"
    list_display = ["name", "client", "state", "last_used_at", "expires_at"]
    list_filter = [StateFilter, ("client", PermittedRelatedFilter)]
    search_fields = ["key_id"]
    exact_search_field = "key_id"
    search_help_text = "Id: 12 hex digits"
    lifetime = ("Lifetime", {"fields": ["created_at", "created_by", "expires_at", "revoked_at"]})
    fieldsets = [(None, {"fields": ["name", "client", "state", "last_used_at"]}), lifetime]
    actions_detail = ["rotate", "revoke"]
    kind: ClassVar[str]
    renew: ClassVar[Callable[..., tuple[Any, str]]]
    rotation: ClassVar[str]
    revocation: ClassVar[str]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("client")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field for _, options in self.fieldsets for field in options["fields"]]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Id", ordering="key_id")
    def name(self, issued: Issued) -> str:
        return str(issued)

    @display(description="State", label=STATE_COLOURS)
    def state(self, issued: Issued) -> str:
        return state_of(issued)

    def has_end_permission(self, request: HttpRequest, object_id: str) -> bool:
        issued = self.get_object(request, object_id)
        if issued is None or state_of(issued) in ("Revoked", "Expired"):
            return False
        return self.may_manage(request, issued)

    @action(description="Rotate", url_path="rotate", permissions=["end"], variant=ActionVariant.PRIMARY)
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        issued = self.get_or_404(request, object_id)
        return self.confirm(
            request,
            issued,
            forms.Form,
            lambda _: self.show_credential(request, *type(self).renew(issued, actor=request.user.get_username())),
            title=f"Rotate this {self.kind}",
            button=f"Make the new {self.kind}",
            lead=self.rotation,
            facts=[(self.kind.capitalize(), str(issued)), ("Client", issued.client.name)],
        )

    @action(description="Revoke", url_path="revoke", permissions=["end"], variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        issued = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            services.revoke(issued, actor=request.user.get_username())
            self.log_change(request, issued, "Revoked.")
            messages.success(request, "Revoked. Every request with it is refused.")
            return self.redirect_to(issued)

        return self.confirm(
            request,
            issued,
            forms.Form,
            then,
            title=f"Revoke this {self.kind}",
            button="Revoke now",
            danger=True,
            lead=self.revocation,
            facts=[(self.kind.capitalize(), str(issued)), ("Client", issued.client.name)],
        )


@admin.register(ApiKey)
class ApiKeyAdmin(IssuedAdmin):
    list_display = [*IssuedAdmin.list_display, "allowance_text"]
    allowance = ("What it may do", {"fields": ["scopes_text", "services_text", "purposes_text"]})
    fieldsets = [IssuedAdmin.fieldsets[0], allowance, IssuedAdmin.lifetime]
    kind = "key"
    renew = services.rotate
    rotation = f"A new key that may do the same. The old one works for another {HOURS} hours: no request is refused."
    revocation = "Every request with it is refused, permanently. To change over without a refused request, rotate it."

    @display(description="Allowance")
    def allowance_text(self, key: ApiKey) -> str:
        what = f"{', '.join(key.services) or 'no service'} for {', '.join(key.purposes)}"
        return format_html("{}<small>{}</small>", ", ".join(key.scopes), what)

    @display(description="Scopes")
    def scopes_text(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @display(description="Services")
    def services_text(self, key: ApiKey) -> str:
        return ", ".join(key.services)

    @display(description="Purposes")
    def purposes_text(self, key: ApiKey) -> str:
        return ", ".join(key.purposes)


@admin.register(ClientSecret)
class ClientSecretAdmin(IssuedAdmin):
    kind = "secret"
    renew = services.rotate_secret
    rotation = f"A new secret. The old one is valid for another {HOURS} hours: no request is refused."
    revocation = (
        "No more tokens are issued for it, and those issued are refused, permanently. To change over without a "
        "refused request, rotate it."
    )
