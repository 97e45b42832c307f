"""POST /oauth/token and /oauth/revoke: access tokens for clients, as RFC 6749 and RFC 7009 have it.

Their errors are OAuth's, ``{"error", "error_description"}``, since OAuth's libraries read those; what no RFC speaks of
(a method, a size, a database that is away) is a problem document as everywhere.
"""

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST
from oauthlib.oauth2 import BackendApplicationServer

from featurestore.access import oauth
from featurestore.api.auth import charge
from featurestore.api.body import LARGEST_BODY_BYTES
from featurestore.api.django_adapter import respond_to
from featurestore.api.errors import TooLarge
from featurestore.api.reply import JSON, Call, Reply, encode

Answered = tuple[Mapping[str, str], str, int]
Ask = Callable[[BackendApplicationServer, str, str, str, dict[str, str]], Answered]

CHALLENGE = {"WWW-Authenticate": 'Basic realm="rapport"'}
IN_ADDRESS = {"error": "invalid_request", "error_description": "Nothing belongs into the address: send a form."}


@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """An access token for a client that proves itself."""
    return respond_to(request, partial(issue, query=request.META.get("QUERY_STRING", "")), "oauth/token")


@require_POST
def revocation(request: HttpRequest) -> HttpResponse:
    """The end of a token, in effect everywhere when it is answered."""
    return respond_to(request, partial(revoke, query=request.META.get("QUERY_STRING", "")), "oauth/revoke")


def issue(call: Call, query: str = "") -> Reply:
    """A form with grant_type, and scope if not all is wanted."""
    return _answer(call, query, BackendApplicationServer.create_token_response)


def revoke(call: Call, query: str = "") -> Reply:
    """A form with the token to end."""
    return _answer(call, query, BackendApplicationServer.create_revocation_response)


def _answer(call: Call, query: str, ask: Ask) -> Reply:
    if len(call.body) > LARGEST_BODY_BYTES:
        raise TooLarge(f"A body has at most {LARGEST_BODY_BYTES} bytes.")
    if query:  # addresses stand in logs
        return Reply(HTTPStatus.BAD_REQUEST, encode(IN_ADDRESS))
    # Encoded anew: oauthlib takes no form at all for one that is encoded loosely, as by curl's -d with a space.
    form = urlencode(parse_qsl(call.body.decode(errors="replace"), keep_blank_values=True))
    headers = {"Authorization": call.authorization}
    server = oauth.server(call.now_ms, call.log_fields, lambda credential: charge(call, credential, 1))
    said, body, status = ask(server, "/oauth", "POST", form, headers)
    kept = {name: value for name, value in said.items() if name in ("Cache-Control", "Pragma")}
    return Reply(status, body.encode(), JSON, kept | (CHALLENGE if status == HTTPStatus.UNAUTHORIZED else {}))
