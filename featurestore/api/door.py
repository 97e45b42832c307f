"""Django's door: a request in, the handler's answer out. django-ninja mounts it and documents what is behind."""

import time

from django.http import HttpRequest, HttpResponse

from featurestore.api.body import LARGEST_BODY_BYTES
from featurestore.api.exchange import exchange, request_id_of
from featurestore.api.reply import Call, Handle, Reply


def enter(request: HttpRequest, handle: Handle, route: str) -> HttpResponse:
    """Answer a Django request by a handler."""
    # One byte more than allowed is enough to see that there are too many.
    body = request.read(LARGEST_BODY_BYTES + 1) if request.method == "POST" else b""
    request_id = request_id_of(request.headers.get("X-Request-Id"))
    call = Call(body, request.headers.get("Authorization", ""), now_ms(), request_id)
    return respond(exchange(route, handle, call), request_id)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def respond(reply: Reply, request_id: str) -> HttpResponse:
    """A reply as Django sends it. Answers are about one person at one moment: nobody may keep them."""
    headers = {"Cache-Control": "no-store", "X-Request-Id": request_id, **reply.headers}
    response = HttpResponse(reply.body, status=reply.status, content_type=reply.media_type, headers=headers)
    response._has_been_logged = True  # type: ignore[attr-defined]  # by exchange; Django would say it once more
    return response
