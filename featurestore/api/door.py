"""Django's door: a request in, the handler's answer out. django-ninja mounts it and documents what is behind."""

import time
from typing import Any

from django.http import HttpRequest, HttpResponse

from featurestore.api.body import LARGEST_BODY_BYTES
from featurestore.api.exchange import exchange, request_id_of
from featurestore.api.reply import Call, Handle, Reply
from featurestore.api.trace import trace_of


def enter(request: HttpRequest, handle: Handle, route: str) -> HttpResponse:
    """Answer a Django request by a handler."""
    # One byte more than allowed is enough to see that there are too many.
    body = body_stream(request).read(LARGEST_BODY_BYTES + 1) if request.method == "POST" else b""
    given = request.headers.get
    call = call_of(body, given("Authorization"), given("X-Request-Id"), given("traceparent"))
    return respond(exchange(route, handle, call), call)


def body_stream(request: HttpRequest) -> Any:
    """Where a body is read from. Django takes one without Content-Length (in chunks, or of HTTP/2) for empty."""
    told = request.META
    unbounded = "HTTP_TRANSFER_ENCODING" in told or told.get("SERVER_PROTOCOL", "").startswith("HTTP/2")
    return told["wsgi.input"] if unbounded and not told.get("CONTENT_LENGTH") else request


def call_of(body: bytes, authorization: str | None, own_id: str | None, traceparent: str | None) -> Call:
    """A call, from a body and the headers that doors look at."""
    return Call(body, authorization or "", now_ms(), request_id_of(own_id), trace_of(traceparent))


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def headers_of(reply: Reply, call: Call) -> dict[str, str]:
    """What every door sends beside a body. Answers are about one person at one moment: nobody may keep them."""
    return {
        "Content-Type": reply.media_type,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": call.request_id,
        "traceresponse": call.trace.response,
        **call.headers,
        **reply.headers,
    }


def respond(reply: Reply, call: Call) -> HttpResponse:
    """A reply as Django sends it."""
    response = HttpResponse(reply.body, status=reply.status, headers=headers_of(reply, call))
    response._has_been_logged = True  # type: ignore[attr-defined]  # by exchange; Django would say it once more
    return response
