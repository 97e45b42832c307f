"""The request cycle, the same behind every adapter: headers to Call, handler to Reply, Reply to headers.

Each request passes admission control, becomes an answer or a problem document, is counted and logged.
"""

import re
import time
import traceback
from contextlib import AbstractContextManager, nullcontext
from random import getrandbits
from typing import Any

import structlog
from django.db import Error as DatabaseError

from featurestore.access.errors import KeysUnavailable
from featurestore.accesslog.writer import access_log_writer
from featurestore.api.admission import events, others, reads
from featurestore.api.errors import Internal, Problem, Unavailable
from featurestore.api.metrics import count_request
from featurestore.api.reply import Call, Handle, Reply
from featurestore.api.trace import trace_of
from featurestore.logs import request_log

LIMITS: dict[str, AbstractContextManager[None]] = {"features": reads, "features/batch": reads, "events": events}
LIMITS |= dict.fromkeys(("features/stream", "features/stream/event"), nullcontext())
REQUEST_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")
log = structlog.get_logger(__name__)


def request_id_of(header: str | None) -> str:
    """The caller's own id of a request if it is well-formed, else a new one."""
    return header if header and REQUEST_ID.fullmatch(header) else f"{getrandbits(128):032x}"


def call_of(body: bytes, authorization: str | None, own_id: str | None, traceparent: str | None) -> Call:
    """A call at this moment, from a body and the three headers that are read."""
    return Call(body, authorization or "", now_ms(), request_id_of(own_id), trace_of(traceparent))


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def response_headers(reply: Reply, call: Call) -> dict[str, str]:
    """The headers of an answer. No cache may store it: it is about one person at one moment."""
    return {
        "Content-Type": reply.media_type,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": call.request_id,
        "traceresponse": call.trace.response,
        **call.headers,
        **reply.headers,
    }


def answer_call(route: str, handle: Handle, call: Call) -> Reply:
    """The reply of a handler to a call, or a problem document. Never raises; logs no identifier, value or secret."""
    started_s = time.perf_counter()
    limit = LIMITS.get(route, others)
    try:
        with limit:
            reply = handle(call)
    except Problem as problem:
        call.log_fields["problem"] = problem.name
        reply = problem.reply(call.request_id)
    except (DatabaseError, KeysUnavailable) as error:
        call.log_fields |= _error_fields(error)
        reply = Unavailable("The database did not answer.").reply(call.request_id)
    except Exception as error:  # noqa: BLE001  (last resort: logged, and answered as a problem)
        call.log_fields |= _error_fields(error)
        reply = Internal().reply(call.request_id)
    seconds = time.perf_counter() - started_s
    count_request(route, reply.status, seconds)
    access_log_writer().add_request(call.log_fields.get("client", ""), route, reply.status)
    fields = {
        "route": route,
        "status": reply.status,
        "ms": round(seconds * 1000, 2),
        "request_id": call.request_id,
        "trace_id": call.trace.trace_id,
        "span_id": call.trace.span_id,
    }
    if "error" in call.log_fields:
        log.error("request", **fields, **call.log_fields)
    else:
        request_log.add(fields | call.log_fields)
    return reply


def _error_fields(error: Exception) -> dict[str, Any]:
    """Type and stack of an error for the log, without its message: that may quote a row or a request."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    return {"error": type(error).__qualname__, "frames": frames}
