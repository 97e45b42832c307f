"""POST /oauth/token and /oauth/revoke: access tokens for clients (RFC 6749, RFC 7009).

Errors that these RFCs define are ``{"error", "error_description"}``, for OAuth libraries. All others (method, size,
database unavailable) are problem documents.
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

OAuthResponse = tuple[Mapping[str, str], str, int]
Endpoint = Callable[[BackendApplicationServer, str, str, str, dict[str, str]], OAuthResponse]

CHALLENGE = {"WWW-Authenticate": 'Basic realm="rapport"'}
QUERY_ERROR = {"error": "invalid_request", "error_description": "Send a form in the body, and no query string."}


@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """Issue an access token to an authenticated client."""
    return respond_to(request, partial(issue, query=request.META.get("QUERY_STRING", "")), "oauth/token")


@require_POST
def revocation(request: HttpRequest) -> HttpResponse:
    """Revoke a token: every process refuses it from the answer on."""
    return respond_to(request, partial(revoke, query=request.META.get("QUERY_STRING", "")), "oauth/revoke")


def issue(call: Call, query: str = "") -> Reply:
    """Answer a form with grant_type and, for less than all that the client may, scope."""
    return _answer(call, query, BackendApplicationServer.create_token_response)


def revoke(call: Call, query: str = "") -> Reply:
    """Answer a form with the token to revoke."""
    return _answer(call, query, BackendApplicationServer.create_revocation_response)


def _answer(call: Call, query: str, endpoint: Endpoint) -> Reply:
    if len(call.body) > LARGEST_BODY_BYTES:
        raise TooLarge(f"A body has at most {LARGEST_BODY_BYTES} bytes.")
    if query:  # proxies log it
        return Reply(HTTPStatus.BAD_REQUEST, encode(QUERY_ERROR))
    # Encoded again: oauthlib refuses a loosely encoded form, such as curl's -d with a space. A parameter without a
    # value counts as left out (RFC 6749, 3.2): many clients send an empty scope.
    form = urlencode(parse_qsl(call.body.decode(errors="replace")))
    headers = {"Authorization": call.authorization}
    server = oauth.server(call.now_ms, call.log_fields, lambda credential: charge(call, credential, 1))
    response_headers, body, status = endpoint(server, "/oauth", "POST", form, headers)
    kept = {name: value for name, value in response_headers.items() if name in ("Cache-Control", "Pragma")}
    return Reply(status, body.encode(), JSON, kept | (CHALLENGE if status == HTTPStatus.UNAUTHORIZED else {}))
