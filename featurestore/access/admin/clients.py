"""Clients: the programs that ask, with their keys, and the staff entrusted with them."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from guardian.shortcuts import get_users_with_perms
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from featurestore.access import reports, services
from featurestore.access.admin.keys import ShowsNewKey, state_of
from featurestore.access.errors import AccessError
from featurestore.access.models import ApiClient
from featurestore.access.scopes import Scope
from featurestore.catalog import registry
from featurestore.consent.models import Purpose

SCOPES = {Scope.FEATURES_READ: "read customers' features", Scope.CONSENT_WRITE: "record customers' decisions"}
LIVES = {30: "30 days", 90: "90 days", 180: "180 days", 365: "A year"}


class KeyForm(forms.Form):
    """What a new key may do: no more than its client needs."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, f"{scope}: {words}") for scope, words in SCOPES.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    services = forms.MultipleChoiceField(
        required=False,
        choices=[(name, f"{name}: {service.description}") for name, service in registry.services.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    purposes = forms.MultipleChoiceField(widget=UnfoldAdminCheckboxSelectMultipleWidget)
    days = forms.TypedChoiceField(
        label="Lives for", coerce=int, choices=list(LIVES.items()), initial=90, widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        purposes = Purpose.objects.filter(active=True).values_list("name", "title")
        self.fields["purposes"].choices = [(name, f"{name}: {title}") for name, title in purposes]  # type: ignore[attr-defined]


class TrustForm(forms.Form):
    """Who is entrusted with a client besides those whose role covers every client."""

    staff = forms.ModelMultipleChoiceField(
        User.objects.filter(is_staff=True, is_active=True, is_superuser=False).order_by("username"),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )


@admin.register(ApiClient)
class ApiClientAdmin(ShowsNewKey):
    refusals = (AccessError,)
    list_display = ["name", "owner", "works", "key_count", "used"]
    list_filter = [("active", BooleanRadioFilter)]
    search_fields = ["name", "owner"]
    search_help_text = "Name or owner"
    fields = ["name", "owner", "description", "active"]
    actions_detail = ["entrust", "create_key"]
    list_before_template = "admin/access/apiclient/unknown.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiClient]:
        live = Q(keys__revoked_at=None, keys__expires_at__gt=datetime.now(UTC))
        counted = super().get_queryset(request).annotate(live=Count("keys", live), last_used=Max("keys__last_used_at"))
        return counted.order_by("name")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["name"] if obj else []

    def save_model(self, request: HttpRequest, obj: ApiClient, form: Any, change: bool) -> None:
        services.save_client(obj, actor=request.user.get_username())

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        usage = reports.usage("", datetime.now(UTC)) if self.by_role(request, "view") else []
        return super().changelist_view(request, {"usage": usage, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None:
            context["keys"] = [(key, state_of(key)) for key in obj.keys.select_related("client")]
            context["usage"] = reports.usage(obj.name, datetime.now(UTC))
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    @display(description="State", ordering="active", label={"Works": "success", "Off": "danger"})
    def works(self, client: ApiClient) -> str:
        return "Works" if client.active else "Off"

    @display(description="Working keys", ordering="live")
    def key_count(self, client: Any) -> int:
        return client.live

    @display(description="Last used", ordering="last_used")
    def used(self, client: Any) -> datetime | None:
        return client.last_used

    def has_create_key_permission(self, request: HttpRequest, object_id: str) -> bool:
        """A role's alone: who is entrusted with a client renews its keys, and does not widen what they may do."""
        return bool(request.user.has_perm("access.add_apikey"))

    @action(
        description="Create a key", url_path="create-key", permissions=["create_key"], variant=ActionVariant.PRIMARY
    )
    def create_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        client = self.found(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            made = services.create_key(
                client,
                services=answers["services"],
                purposes=answers["purposes"],
                scopes=answers["scopes"],
                actor=request.user.get_username(),
                expires_at=datetime.now(UTC) + timedelta(days=answers["days"]),
            )
            return self.new_key(request, *made)

        return self.ask(
            request,
            client,
            KeyForm,
            then,
            title=f"Create a key for {client.name}",
            act="Create the key",
            lead="Its text is shown once, on the next page. Only a hash of it is kept.",
        )

    def has_entrust_permission(self, request: HttpRequest, object_id: str) -> bool:
        """A role's alone: trust is not handed on."""
        return self.by_role(request, "change")

    @action(description="Entrust", url_path="entrust", permissions=["entrust"], icon="lock")
    def entrust(self, request: HttpRequest, object_id: str) -> HttpResponse:
        client = self.found(request, object_id)
        before = set(get_users_with_perms(client, only_with_perms_in=["view_apiclient"], with_group_users=False))

        def then(answers: dict[str, Any]) -> HttpResponse:
            chosen, actor = set(answers["staff"]), request.user.get_username()
            for person in chosen - before:
                services.entrust(client, person, actor=actor)
            for person in before - chosen:
                services.end_trust(client, person, actor=actor)
            self.log_change(request, client, f"Entrusted to {len(chosen)} people.")
            messages.success(request, "Saved. They see this client alone, and may rotate and revoke its keys.")
            return self.back(client)

        return self.ask(
            request,
            client,
            partial(TrustForm, initial={"staff": before}),
            then,
            title=f"Who is entrusted with {client.name}?",
            act="Save",
            lead="People whose role does not cover every client. They see this one, may switch it off, rotate and "
            "revoke its keys; they can't make a key that may do more.",
        )
