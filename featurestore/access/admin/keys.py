"""Keys: what each may do, when it was used last, when it ends. Its text is shown once, on the page that made it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import DropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from featurestore.access import services
from featurestore.access.admin.guard import EntrustedAdmin
from featurestore.access.errors import AccessError
from featurestore.access.models import ApiKey

SOON = timedelta(days=14)
COLOURS = {"Works": "success", "Ends soon": "warning", "Expired": "danger", "Revoked": "danger", "Client off": "danger"}


def state_of(key: ApiKey) -> str:
    """One of COLOURS."""
    now = datetime.now(UTC)
    if key.revoked_at:
        return "Revoked"
    if key.expires_at <= now:
        return "Expired"
    if not key.client.active:
        return "Client off"
    return "Ends soon" if key.expires_at <= now + SOON else "Works"


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "Not ended"), ("soon", "Ends soon"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now, standing = datetime.now(UTC), queryset.filter(revoked_at=None)
        match self.value():
            case "live":
                return standing.filter(expires_at__gt=now)
            case "soon":
                return standing.filter(expires_at__gt=now, expires_at__lte=now + SOON)
            case "expired":
                return standing.filter(expires_at__lte=now)
            case "revoked":
                return queryset.exclude(revoked_at=None)
        return queryset


class ShowsNewKey(EntrustedAdmin):
    """Keys are made here: from nothing, and from an older one."""

    def new_key(self, request: HttpRequest, key: ApiKey, text: str) -> HttpResponse:
        """The one page that shows a key's text. No session keeps it, and the admin's pages go into no cache."""
        self.log_addition(request, key, f"Key {key}.")
        back = reverse("admin:access_apiclient_change", args=[key.client_id])
        context = {"title": "Copy the key now", "original": key, "key": key, "text": text, "back": back}
        return self.page(request, None, "admin/new_key.html", **context)


@admin.register(ApiKey)
class ApiKeyAdmin(ShowsNewKey):
    refusals = (AccessError,)
    client_path = "client"
    list_display = ["name", "client", "state", "last_used_at", "expires_at", "may"]
    list_filter = [StateFilter, ("client", RelatedDropdownFilter)]
    search_fields = ["key_id"]
    searched = "key_id"
    search_help_text = "Key id, its 12 digits"
    fieldsets = [
        (None, {"fields": ["name", "client", "state", "last_used_at"]}),
        ("What it may do", {"fields": ["does", "for_services", "for_purposes"]}),
        ("Life", {"fields": ["created_at", "created_by", "expires_at", "revoked_at"]}),
    ]
    actions_detail = ["rotate", "revoke"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).select_related("client")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A key is made on its client's page."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field for _, options in self.fieldsets for field in options["fields"]]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Key", ordering="key_id")
    def name(self, key: ApiKey) -> str:
        return str(key)

    @display(description="State", label=COLOURS)
    def state(self, key: ApiKey) -> str:
        return state_of(key)

    @display(description="May")
    def may(self, key: ApiKey) -> str:
        what = f"{', '.join(key.services) or 'no service'} for {', '.join(key.purposes)}"
        return format_html("{}<small>{}</small>", ", ".join(key.scopes), what)

    @display(description="Scopes")
    def does(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @display(description="Services")
    def for_services(self, key: ApiKey) -> str:
        return ", ".join(key.services)

    @display(description="Purposes")
    def for_purposes(self, key: ApiKey) -> str:
        return ", ".join(key.purposes)

    def has_end_permission(self, request: HttpRequest, object_id: str) -> bool:
        key = self.get_object(request, object_id)
        if key is None or state_of(key) in ("Revoked", "Expired"):
            return False
        return self.by_role(request, "change") or self.by_trust(request, "change", key)

    @action(description="Rotate", url_path="rotate", permissions=["end"], variant=ActionVariant.PRIMARY)
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self.found(request, object_id)
        hours = services.OVERLAP // timedelta(hours=1)
        return self.ask(
            request,
            key,
            forms.Form,
            lambda _: self.new_key(request, *services.rotate(key, actor=request.user.get_username())),
            title="Rotate this key",
            act="Make the new key",
            lead=f"A new key that may do the same. The old one works for {hours} hours more: no request is lost.",
            facts=[("Key", str(key)), ("Client", key.client.name)],
        )

    @action(description="Revoke", url_path="revoke", permissions=["end"], variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self.found(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            services.revoke(key, actor=request.user.get_username())
            self.log_change(request, key, "Revoked.")
            messages.success(request, "Revoked. Within 2 seconds every request with it is refused.")
            return self.back(key)

        return self.ask(
            request,
            key,
            forms.Form,
            then,
            title="Revoke this key",
            act="Revoke now",
            danger=True,
            lead="Every request with it is refused, for good. To change over without a refused request, rotate it.",
            facts=[("Key", str(key)), ("Client", key.client.name)],
        )
