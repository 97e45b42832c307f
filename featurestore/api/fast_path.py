"""The fast lane: a feature read goes from WSGI straight to its handler, and never meets Django.

Both doors answer alike: tests/api/test_adapters.py sends everything through both. What is not plain (another path or
method, a body of unknown length, a host that is not ours) goes on to Django, which knows what to say.
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
    """A WSGI application: the hot routes by itself, all else by the application behind it."""

    def __init__(self, routes: Mapping[str, tuple[str, Handle]], behind: WSGIApplication) -> None:
        self.routes, self.behind = routes, behind

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = self.routes.get(environ["PATH_INFO"])
        if (
            found is None
            or environ["REQUEST_METHOD"] != "POST"
            or not environ.get("CONTENT_LENGTH")
            or not is_ours(environ.get("HTTP_HOST", ""))
        ):
            return self.behind(environ, start_response)
        route, handle = found
        # One byte more than allowed is enough to see that there are too many.
        body = environ["wsgi.input"].read(LARGEST_BODY_BYTES + 1)
        given = environ.get
        call = call_of(body, given("HTTP_AUTHORIZATION"), given("HTTP_X_REQUEST_ID"), given("HTTP_TRACEPARENT"))
        reply = answer_call(route, handle, call)
        headers = [*response_headers(reply, call).items(), ("Content-Length", str(len(reply.body)))]
        start_response(STATUS_LINES[reply.status], headers)
        return [reply.body]  # a list, which Granian sends in one piece


@lru_cache(maxsize=1024)
def is_ours(host: str) -> bool:
    """Whether a Host header names this installation, by Django's own rules."""
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings().allowed_hosts)


def with_fast_path(behind: WSGIApplication) -> FastPath:
    """The lane of this installation, in front of Django."""
    routes = {
        "/v1/features": ("features", lambda call: feature_handler().read_one(call)),
        "/v1/features/batch": ("features/batch", lambda call: feature_handler().read_batch(call)),
    }
    return FastPath(routes, behind)
