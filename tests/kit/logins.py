"""Logins of staff in tests: a session that has just shown its password, and the means to show a second factor."""

import time

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.contrib.auth.models import User
from django.test import Client


def log_in(name: str, *methods: str, age_s: float = 0) -> Client:
    """A client with a session of a staff member, who showed each method (password, mfa) so long ago."""
    client = Client()
    assert client.login(username=name, password="pw")
    session = client.session
    at = time.time() - age_s
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [{"method": m, "at": at} for m in methods or ("password",)]
    session["account_authentication_methods_user"] = str(User.objects.get(username=name).pk)
    session.save()
    return client


def code_of(secret: str) -> str:
    """The code that an app shows now."""
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))
