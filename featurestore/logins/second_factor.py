"""Second factors: whether a session was opened with one."""

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.http import HttpRequest


def session_has_second_factor(request: HttpRequest) -> bool:
    """Whether this session's user has shown a code of an app, a recovery code or a passkey in it."""
    return any(record["method"] == "mfa" for record in get_authentication_records(request, request.user))


def has_second_factor(user: User, *, codes: bool = False) -> bool:
    """Whether a staff member has set one up. ``codes``: one that gives codes; a passkey alone is none."""
    kinds = [Authenticator.Type.TOTP, *([] if codes else [Authenticator.Type.WEBAUTHN])]
    return Authenticator.objects.filter(user=user, type__in=kinds).exists()
