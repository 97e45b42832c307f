"""Fast path of the feature reads: a WSGI adapter that calls the handler directly, without Django.

Both adapters answer alike: tests/api/test_adapters.py sends every request through both. Any other request (path,
method, a body of unknown length, a host that is not ours) is passed to Django.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from django.http.request import split_domain_port, validate_host

from featurestore.api.body import LARGEST_BODY_BYTES
from featurestore.api.handler import feature_handler
from featurestore.api.reply import Handle
from featurestore.api.request_cycle import answer_call, call_of, response_headers
from featurestore.config import settings

STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class FastPath:
    """WSGI application that answers the feature reads itself, and passes all other requests to ``django``."""

    def __init__(self, routes: Mapping[str, tuple[str, Handle]], django: WSGIApplication) -> None:
        self.routes, self.django = routes, django

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = self.routes.get(environ["PATH_INFO"])
        if (
            found is None
            or environ["REQUEST_METHOD"] != "POST"
            or not environ.get("CONTENT_LENGTH")
            or not is_allowed_host(environ.get("HTTP_HOST", ""))
        ):
            return self.django(environ, start_response)
        route, handle = found
        # One byte above the limit is enough: the decoder refuses the body.
        body = environ["wsgi.input"].read(LARGEST_BODY_BYTES + 1)
        header = environ.get
        call = call_of(body, header("HTTP_AUTHORIZATION"), header("HTTP_X_REQUEST_ID"), header("HTTP_TRACEPARENT"))
        reply = answer_call(route, handle, call)
        headers = [*response_headers(reply, call).items(), ("Content-Length", str(len(reply.body)))]
        start_response(STATUS_LINES[reply.status], headers)
        return [reply.body]  # Granian sends a list of one in one piece


@lru_cache(maxsize=1024)
def is_allowed_host(host: str) -> bool:
    """Whether a Host header names this installation, by Django's own rules."""
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings().allowed_hosts)


def with_fast_path(django: WSGIApplication) -> FastPath:
    """Django behind the fast path of this installation."""
    routes = {
        "/v1/features": ("features", lambda call: feature_handler().read_one(call)),
        "/v1/features/batch": ("features/batch", lambda call: feature_handler().read_batch(call)),
    }
    return FastPath(routes, django)
