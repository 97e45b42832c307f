"""One request and its answer, whichever door it came through: every problem in one shape, counted, logged."""

import re
import time
import traceback
from contextlib import AbstractContextManager, nullcontext
from random import getrandbits
from typing import Any

import structlog
from django.db import Error as DatabaseError

from featurestore.access.errors import KeysUnavailable
from featurestore.accesslog.writer import recorder
from featurestore.api.admission import events, others, reads
from featurestore.api.errors import Internal, Problem, Unavailable
from featurestore.api.metrics import count_request
from featurestore.api.reply import Call, Handle, Reply
from featurestore.logs import requests

ROOMS: dict[str, AbstractContextManager[None]] = {"features": reads, "features/batch": reads, "events": events}
ROOMS |= dict.fromkeys(("features/stream", "features/stream/event"), nullcontext())
REQUEST_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")
log = structlog.get_logger(__name__)


def request_id_of(header: str | None) -> str:
    """The caller's own id of a request if it looks like one, else a new one."""
    return header if header and REQUEST_ID.fullmatch(header) else f"{getrandbits(128):032x}"


def exchange(route: str, handle: Handle, call: Call) -> Reply:
    """Let a handler answer a call. Never raises; logs no identifier, no value, no secret."""
    started_s = time.perf_counter()
    room = ROOMS.get(route, others)
    try:
        with room:
            reply = handle(call)
    except Problem as problem:
        call.noted["problem"] = problem.name
        reply = problem.reply(call.request_id)
    except (DatabaseError, KeysUnavailable) as error:
        call.noted |= _broken(error)
        reply = Unavailable("The database did not answer.").reply(call.request_id)
    except Exception as error:  # noqa: BLE001  (the last resort of a server: logged, and answered in the one shape)
        call.noted |= _broken(error)
        reply = Internal().reply(call.request_id)
    seconds = time.perf_counter() - started_s
    count_request(route, reply.status, seconds)
    recorder().request(call.noted.get("client", ""), route, reply.status)
    fields = {
        "route": route,
        "status": reply.status,
        "ms": round(seconds * 1000, 2),
        "request_id": call.request_id,
        "trace_id": call.trace.trace_id,
        "span_id": call.trace.span_id,
    }
    if "error" in call.noted:
        log.error("request", **fields, **call.noted)
    else:
        requests.tell(fields | call.noted)
    return reply


def _broken(error: Exception) -> dict[str, Any]:
    """What broke and where, without the error's message: it may quote a row or a request."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    return {"error": type(error).__qualname__, "frames": frames}
