"""Pages of API clients, with their keys, secrets, tokens and requests, and the staff assigned to them."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Count, Max, Q, QuerySet
from django.db.models.functions import Coalesce, Greatest
from django.http import HttpRequest, HttpResponse
from guardian.shortcuts import get_users_with_perms
from oauth2_provider.models import AccessToken, Grant, IDToken, RefreshToken
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from featurestore.access import services, usage
from featurestore.access.admin.keys import NewCredentialAdmin, state_of
from featurestore.access.errors import AccessError
from featurestore.access.models import ApiClient, ApiKey, ClientSecret
from featurestore.access.scopes import SCOPE_DESCRIPTIONS
from featurestore.backoffice.permitted import permitted
from featurestore.consent.models import Purpose
from featurestore.installed_catalog import catalog

# The toolkit's own pages check no roles, and would write clients without our services.
admin.site.unregister([ApiClient, AccessToken, Grant, IDToken, RefreshToken])

LIFETIMES = {30: "30 days", 90: "90 days", 180: "180 days", 365: "A year"}
SHOWN_TOKENS = 20
SECTION_ACTIONS = ("create_secret", "allow", "revoke_tokens")
"""Actions that the page offers in the sections of secrets and tokens."""


class LifetimeForm(forms.Form):
    """Lifetime of a new key or secret."""

    days = forms.TypedChoiceField(
        label="Expires after", coerce=int, choices=list(LIFETIMES.items()), initial=90, widget=UnfoldAdminSelectWidget
    )


class AllowanceForm(forms.Form):
    """Scopes, services and purposes of a client or key; ``offered`` are the purposes to choose from."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {description}") for scope, description in SCOPE_DESCRIPTIONS.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    services = forms.MultipleChoiceField(
        required=False,
        choices=lambda: [(name, f"{name}: {s.description}") for name, s in catalog().registry.services.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    purposes = forms.MultipleChoiceField(widget=UnfoldAdminCheckboxSelectMultipleWidget)

    def __init__(self, *args: Any, offered: QuerySet[Purpose], **kwargs: Any):
        super().__init__(*args, **kwargs)
        purposes = offered.filter(active=True).values_list("name", "title")
        self.fields["purposes"].choices = [(name, f"{name}: {title}") for name, title in purposes]  # type: ignore[attr-defined]


class KeyForm(AllowanceForm, LifetimeForm):
    """What a new key may do, and for how long."""

    field_order = ["scopes", "services", "purposes", "days"]


class AssignmentForm(forms.Form):
    """Staff assigned to a client, besides those whose role covers every client."""

    staff = forms.ModelMultipleChoiceField(
        User.objects.filter(is_staff=True, is_active=True, is_superuser=False).order_by("username"),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )


def live_tokens(client: ApiClient) -> QuerySet[AccessToken]:
    return AccessToken.objects.filter(application=client, expires__gt=datetime.now(UTC)).order_by("-created")


def action_key(action: UnfoldAction) -> str:
    return action.action_name.removeprefix("access_apiclient_")


@admin.register(ApiClient)
class ApiClientAdmin(NewCredentialAdmin):
    service_errors = (AccessError,)
    list_display = ["name", "owner", "state", "key_count", "secret_count", "used"]
    list_filter = [("active", BooleanRadioFilter)]
    search_fields = ["name", "owner"]
    search_help_text = "Name or owner"
    fields = ["name", "owner", "description", "active", "requests_per_s"]
    actions_detail = ["assign_staff", "create_key", "deactivate", *SECTION_ACTIONS]
    list_before_template = "admin/access/apiclient/unknown.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiClient]:
        now = datetime.now(UTC)
        keys = Q(keys__revoked_at=None, keys__expires_at__gt=now)
        secrets = Q(secrets__revoked_at=None, secrets__expires_at__gt=now)
        return (
            super()
            .get_queryset(request)
            .annotate(
                live=Count("keys", keys, distinct=True),
                live_secrets=Count("secrets", secrets, distinct=True),
                last_used=Greatest(
                    Coalesce(Max("keys__last_used_at"), Max("secrets__last_used_at")),
                    Coalesce(Max("secrets__last_used_at"), Max("keys__last_used_at")),
                ),
            )
            .order_by("name")
        )

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[UnfoldAction]:
        """All but those that the page's sections offer."""
        return [
            action
            for action in super().get_actions_detail(request, object_id)
            if action_key(action) not in SECTION_ACTIONS
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["name"] if obj else []

    def save_model(self, request: HttpRequest, obj: ApiClient, form: Any, change: bool) -> None:
        services.save_client(obj, actor=request.user.get_username(), fields=form.changed_data if change else None)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        unknown = usage.client_usage("", datetime.now(UTC)) if self.by_role(request, "view") else []
        return super().changelist_view(request, {"usage": unknown, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None:
            keys, secrets = permitted(request, ApiKey), permitted(request, ClientSecret)
            context["keys"] = [(key, state_of(key)) for key in keys.filter(client=obj)]
            context["secrets"] = [(secret, state_of(secret)) for secret in secrets.filter(client=obj)]
            context["tokens"], context["token_count"] = live_tokens(obj)[:SHOWN_TOKENS], live_tokens(obj).count()
            context["offered"] = {action_key(action) for action in super().get_actions_detail(request, obj.pk)}
            context["usage"] = usage.client_usage(obj.name, datetime.now(UTC))
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    @display(description="State", ordering="active", label={"Active": "success", "Inactive": "danger"})
    def state(self, client: ApiClient) -> str:
        return "Active" if client.active else "Inactive"

    @display(description="Working keys", ordering="live")
    def key_count(self, client: Any) -> int:
        return client.live

    @display(description="Working secrets", ordering="live_secrets")
    def secret_count(self, client: Any) -> int:
        return client.live_secrets

    @display(description="Last used", ordering="last_used")
    def used(self, client: Any) -> datetime | None:
        return client.last_used

    def has_deactivate_permission(self, request: HttpRequest, object_id: str) -> bool:
        client = self.get_object(request, object_id)
        return client is not None and client.active and self.may_manage(request, client)

    @action(description="Set inactive", url_path="deactivate", permissions=["deactivate"], variant=ActionVariant.DANGER)
    def deactivate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        client = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            services.deactivate(client, actor=request.user.get_username())
            self.log_change(request, client, "Set inactive.")
            messages.success(request, "Inactive. Every request with its keys, secrets and tokens is refused.")
            return self.redirect_to(client)

        return self.confirm(
            request,
            client,
            forms.Form,
            then,
            title=f"Set {client.name} inactive",
            button="Set inactive",
            danger=True,
            lead="Every request with its keys, secrets and tokens is refused, at once. Only platform engineers can "
            "set it active again.",
        )

    def has_create_key_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Only by role: assigned staff renew keys, but don't make one that may do more."""
        return bool(request.user.has_perm("access.add_apikey"))

    @action(
        description="Create a key", url_path="create-key", permissions=["create_key"], variant=ActionVariant.PRIMARY
    )
    def create_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        client = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            made = services.create_key(
                client,
                services=answers["services"],
                purposes=answers["purposes"],
                scopes=answers["scopes"],
                actor=request.user.get_username(),
                expires_at=datetime.now(UTC) + timedelta(days=answers["days"]),
            )
            return self.show_credential(request, *made)

        return self.confirm(
            request,
            client,
            partial(KeyForm, offered=permitted(request, Purpose)),
            then,
            title=f"Create a key for {client.name}",
            button="Create the key",
            lead="Its text is shown once, on the next page. Only a hash of it is kept.",
        )

    def has_create_secret_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Only by role: assigned staff renew secrets, but don't add one."""
        return bool(request.user.has_perm("access.add_clientsecret"))

    @action(description="Create a secret", url_path="create-secret", permissions=["create_secret"])
    def create_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        client = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            expires_at = datetime.now(UTC) + timedelta(days=answers["days"])
            made = services.create_secret(client, actor=request.user.get_username(), expires_at=expires_at)
            return self.show_credential(request, *made)

        return self.confirm(
            request,
            client,
            LifetimeForm,
            then,
            title=f"Create a secret for {client.name}",
            button="Create the secret",
            lead="With it the client gets access tokens, which expire within minutes. The secret is shown once, "
            "on the next page. A client may have two working secrets, so that it can change over.",
        )

    def has_allow_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Only by role: assigned staff don't change what tokens may do."""
        return self.by_role(request, "change")

    @action(description="Set scopes of tokens", url_path="allow", permissions=["allow"])
    def allow(self, request: HttpRequest, object_id: str) -> HttpResponse:
        client = self.get_or_404(request, object_id)
        now = {name: getattr(client, name) for name in AllowanceForm.base_fields}

        def then(answers: dict[str, Any]) -> HttpResponse:
            services.allow(client, **answers, actor=request.user.get_username())
            self.log_change(request, client, "Scope of tokens.")
            messages.success(request, "Saved. Existing tokens may do no more than this either.")
            return self.redirect_to(client)

        return self.confirm(
            request,
            client,
            partial(AllowanceForm, initial=now, offered=permitted(request, Purpose)),
            then,
            title=f"What may tokens of {client.name} do?",
            button="Save",
            lead="A token is issued for some of this, or for all. A key has scopes of its own, set when it is made.",
        )

    def has_revoke_tokens_permission(self, request: HttpRequest, object_id: str) -> bool:
        client = self.get_object(request, object_id)
        return client is not None and self.may_manage(request, client) and live_tokens(client).exists()

    @action(
        description="Revoke all tokens",
        url_path="revoke-tokens",
        permissions=["revoke_tokens"],
        variant=ActionVariant.DANGER,
    )
    def revoke_tokens(self, request: HttpRequest, object_id: str) -> HttpResponse:
        client = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            ended = services.revoke_tokens(client, actor=request.user.get_username())
            self.log_change(request, client, f"Tokens revoked: {ended}.")
            messages.success(request, f"Tokens revoked: {ended}. Every request with one of them is refused.")
            return self.redirect_to(client)

        return self.confirm(
            request,
            client,
            forms.Form,
            then,
            title=f"Revoke all tokens of {client.name}",
            button="Revoke now",
            danger=True,
            lead="Every request with one of them is refused. The client may get new tokens. If its secret was stolen, "
            "revoke the secret; if the client misbehaves, set it inactive.",
            facts=[("Tokens", str(live_tokens(client).count()))],
        )

    def has_assign_staff_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Only by role: assigned staff don't assign others."""
        return self.by_role(request, "change")

    @action(description="Assign staff", url_path="assign-staff", permissions=["assign_staff"], icon="lock")
    def assign_staff(self, request: HttpRequest, object_id: str) -> HttpResponse:
        client = self.get_or_404(request, object_id)
        before = set(get_users_with_perms(client, only_with_perms_in=["view_apiclient"], with_group_users=False))

        def then(answers: dict[str, Any]) -> HttpResponse:
            chosen, actor = set(answers["staff"]), request.user.get_username()
            for person in chosen - before:
                services.assign_client(client, person, actor=actor)
            for person in before - chosen:
                services.unassign_client(client, person, actor=actor)
            self.log_change(request, client, f"Assigned to {len(chosen)} people.")
            messages.success(
                request, "Saved. They see only this client, and may rotate and revoke its keys, secrets and tokens."
            )
            return self.redirect_to(client)

        return self.confirm(
            request,
            client,
            partial(AssignmentForm, initial={"staff": before}),
            then,
            title=f"Staff assigned to {client.name}",
            button="Save",
            lead="People whose role does not cover every client. They see this one, may set it inactive, and rotate "
            "and revoke its keys, secrets and tokens. They can't set it active again, change its owner or rate limit, "
            "or make a key or token that may do more.",
        )
