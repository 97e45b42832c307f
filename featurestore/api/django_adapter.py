"""Adapter from Django to the handlers. django-ninja routes requests to it and documents the operations."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from featurestore.api import idempotency
from featurestore.api.body import LARGEST_BODY_BYTES
from featurestore.api.reply import Call, Handle, Reply
from featurestore.api.request_cycle import answer_call, call_of, response_headers


def respond_to(request: HttpRequest, handle: Handle, route: str) -> HttpResponse:
    """A handler's answer to a Django request."""
    # One byte above the limit is enough: the decoder refuses the body.
    body = body_stream(request).read(LARGEST_BODY_BYTES + 1) if request.method == "POST" else b""
    header = request.headers.get
    call = call_of(body, header("Authorization"), header("X-Request-Id"), header("traceparent"))
    call.idempotency_key = header(idempotency.HEADER)
    return django_response(answer_call(route, handle, call), call)


def body_stream(request: HttpRequest) -> Any:
    """The stream to read a body from. Django takes a body without Content-Length (chunked, or HTTP/2) for empty."""
    environ = request.META
    unbounded = "HTTP_TRANSFER_ENCODING" in environ or environ.get("SERVER_PROTOCOL", "").startswith("HTTP/2")
    return environ["wsgi.input"] if unbounded and not environ.get("CONTENT_LENGTH") else request


def django_response(reply: Reply, call: Call) -> HttpResponse:
    """A reply as Django's response."""
    response = HttpResponse(reply.body, status=reply.status, headers=response_headers(reply, call))
    response._has_been_logged = True  # type: ignore[attr-defined]  # by answer_call; Django would log it again
    return response
