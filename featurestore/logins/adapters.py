"""How django-allauth is used: staff only, no registration, no e-mail; every login and factor is recorded."""

from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from featurestore.backoffice.reauthentication import recently_authenticated
from featurestore.config import settings
from featurestore.logins import services
from featurestore.logins.models import LoginEvent
from featurestore.logins.secret_box import SecretBox

Kind = LoginEvent.Kind
CHANGES = {
    "mfa/email/totp_activated": (Kind.FACTOR_ADDED, "app"),
    "mfa/email/totp_deactivated": (Kind.FACTOR_REMOVED, "app"),
    "mfa/email/webauthn_added": (Kind.FACTOR_ADDED, "passkey"),
    "mfa/email/webauthn_removed": (Kind.FACTOR_REMOVED, "passkey"),
    "mfa/email/recovery_codes_generated": (Kind.CODES_MADE, ""),
}
"""Events by the e-mail that django-allauth would send about them."""
WAYS = {
    "reauthenticate": "Use your password",
    "mfa_reauthenticate": "Use a code",
    "mfa_reauthenticate:webauthn": "Use a passkey",
}
SILENT = ("account/messages/", "mfa/messages/recovery_codes_generated")
log = structlog.get_logger(__name__)


class StaffAccountAdapter(DefaultAccountAdapter):
    """Logins of staff, who are made in the administration alone."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": "The name or the password is wrong.",
        "too_many_login_attempts": "Too many failed attempts for this name or from this address: wait some minutes, "
        "then try again. A passkey works without waiting.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            services.LIMITED.inc()
            log.warning("login refused", reason="limit of the account or address")
            raise

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """The name alone: with the Host header, as in django-allauth, each allowed host gives attempts of its own."""
        return f"name:{credentials.get('username', '').lower()}"

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        services.record(Kind.FAILED, credentials.get("username", ""), address=self.get_client_ip(request))

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse | None:
        if not user.is_staff:  # the administration would send them back to the login, forever
            raise ImmediateHttpResponse(self.respond_user_inactive(request, user))
        return super().pre_login(request, user, **kwargs)

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        services.record(Kind.LOGGED_IN, user.get_username(), address=self.get_client_ip(request))
        return super().post_login(request, user, **kwargs)

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Before a change of one's own second factors. A login just now counts, so that a new one needs no second."""
        return not recently_authenticated(context.request)

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        methods = super().get_reauthentication_methods(user)
        return [{**method, "description": WAYS[method["id"]]} for method in methods]

    def add_message(self, request: Any, level: int, message_template: str | None = None, *args: Any, **kw: Any) -> None:
        if not (message_template or "").startswith(SILENT):
            super().add_message(request, level, message_template, *args, **kw)

    def send_notification_mail(
        self, template_prefix: str, user: Any, context: Any = None, email: str | None = None
    ) -> None:
        """Record the event instead of sending an e-mail."""
        if template_prefix in CHANGES:
            kind, detail = CHANGES[template_prefix]
            services.record(kind, user.get_username(), address=self.get_client_ip(self.request), detail=detail)


class SecondFactorAdapter(DefaultMFAAdapter):
    """Second factors, encrypted where they are stored."""

    def generate_authenticator_name(self, user: Any, type: Authenticator.Type) -> str:
        return f"Passkey {Authenticator.objects.filter(user=user, type=type).count() + 1}"

    def encrypt(self, text: str) -> str:
        return SecretBox(settings().secret_key).encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        return SecretBox(settings().secret_key).decrypt(encrypted_text)
