"""Django's door: a request in, the handler's answer out. django-ninja mounts it and documents what is behind."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from featurestore.api.body import LARGEST_BODY_BYTES
from featurestore.api.reply import Call, Handle, Reply
from featurestore.api.request_cycle import answer_call, call_of, response_headers


def respond_to(request: HttpRequest, handle: Handle, route: str) -> HttpResponse:
    """Answer a Django request by a handler."""
    # One byte more than allowed is enough to see that there are too many.
    body = body_stream(request).read(LARGEST_BODY_BYTES + 1) if request.method == "POST" else b""
    given = request.headers.get
    call = call_of(body, given("Authorization"), given("X-Request-Id"), given("traceparent"))
    return django_response(answer_call(route, handle, call), call)


def body_stream(request: HttpRequest) -> Any:
    """Where a body is read from. Django takes one without Content-Length (in chunks, or of HTTP/2) for empty."""
    told = request.META
    unbounded = "HTTP_TRANSFER_ENCODING" in told or told.get("SERVER_PROTOCOL", "").startswith("HTTP/2")
    return told["wsgi.input"] if unbounded and not told.get("CONTENT_LENGTH") else request


def django_response(reply: Reply, call: Call) -> HttpResponse:
    """A reply as Django sends it."""
    response = HttpResponse(reply.body, status=reply.status, headers=response_headers(reply, call))
    response._has_been_logged = True  # type: ignore[attr-defined]  # by answer_call; Django would say it once more
    return response
