"""Recent authentication: what a dangerous page of the administration asks for first."""

import time
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect

from featurestore.config import settings


def recently_authenticated(request: HttpRequest) -> bool:
    """Whether this session's user showed a password or second factor within RAPPORT_REAUTHENTICATION_S."""
    records = get_authentication_records(request, request.user)
    return bool(records) and time.time() - records[-1]["at"] < settings().reauthentication_s


def ask_again(request: HttpRequest) -> HttpResponseRedirect | None:
    """A redirect to the page that asks again for password or second factor; None if they were shown recently.

    What was posted is not kept meanwhile, since it may hold a new password: the form opens anew.
    """
    if recently_authenticated(request):
        return None
    methods = get_adapter().get_reauthentication_methods(request.user)
    if not methods:
        raise PermissionDenied("This account has neither a password nor a second factor to show again.")
    return HttpResponseRedirect(f"{methods[0]['url']}?{urlencode({'next': request.get_full_path()})}")
