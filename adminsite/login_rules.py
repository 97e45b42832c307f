"""Rules of the administration's sessions: who needs a second factor, and what a refused login answers."""

from collections.abc import Callable
from typing import Any

import structlog
from django.contrib import admin
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode

from featurestore.access.selectors import needs_second_factor
from featurestore.config import settings
from featurestore.logins.errors import LoginError
from featurestore.logins.second_factor import has_second_factor, session_has_second_factor

RETRY_S = 5
PREFIXES = ("account_", "mfa_")
"""Beginnings of the names of django-allauth's pages."""
log = structlog.get_logger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]


class LoginRulesMiddleware:
    """Middleware that lets staff who can see customers into the administration with a second factor only.

    Without one they are sent to set it up; with one that this session has not shown, to show it.
    """

    def __init__(self, get_response: GetResponse):
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or "admin" not in match.app_names or match.url_name == "logout":
            return None
        user = request.user
        if not user.is_authenticated:
            return None
        if not (user.is_staff and user.is_active):  # the rights were taken meanwhile
            logout(request)
            return redirect("account_login")
        if settings().second_factor == "optional" or session_has_second_factor(request):
            return None
        if not needs_second_factor(user):
            return None
        if not has_second_factor(user):
            return HttpResponseRedirect(reverse("mfa_index"))
        shown_at = "mfa_reauthenticate_webauthn" if not has_second_factor(user, codes=True) else "mfa_reauthenticate"
        return HttpResponseRedirect(f"{reverse(shown_at)}?{urlencode({'next': request.get_full_path()})}")

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, LoginError):
            return None
        log.warning("login not checked", reason=type(error).__name__)
        page = render(request, "account/not_checked.html", {"reason": str(error)}, status=503)
        page.headers["Retry-After"] = str(RETRY_S)
        return page


def login_pages(request: HttpRequest) -> dict[str, Any]:
    """Context of django-allauth's pages: title, colours, styles and menu of the administration."""
    match = request.resolver_match
    if match is None or not (match.url_name or "").startswith(PREFIXES):
        return {}
    known = request.user.is_authenticated
    required = known and settings().second_factor == "required" and needs_second_factor(request.user)
    closed = required and not session_has_second_factor(request)
    menu = {"is_nav_sidebar_enabled": False, "sidebar_navigation": []} if closed else {}
    return admin.site.each_context(request) | menu | {"second_factor_required": required}
