"""POST /v1/features/stream in the OpenAPI document. Django answers it with 404: another process serves it."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import OF_THIS_CATALOG, operation
from featurestore.api.errors import (
    Forbidden,
    Malformed,
    NotFound,
    TooLarge,
    TooManyStreams,
    Unauthorised,
    Unavailable,
    UnknownService,
    Unprocessable,
)
from featurestore.api.examples import FEATURES, QUERY, SOME_FEATURES, Example, problem
from featurestore.api.handler import FeatureRequest, feature_handler
from featurestore.api.reply import Call, Reply, encode
from featurestore.api.sse.events import BEGINNING, HEARTBEAT, MEDIA_TYPE, Ending, Event, closed, encode_event

SERVED_ELSEWHERE = "Event streams are served by another process (sse): configure your proxy to send this address there."
EXAMPLES = [
    Example(
        "elsewhere",
        "A process that serves no streams",
        QUERY | SOME_FEATURES,
        404,
        problem(404, "not-found", "No such address", SERVED_ELSEWHERE),
    )
]
PROBLEMS = [
    Malformed, Unauthorised, Forbidden, UnknownService, NotFound, TooLarge, Unprocessable, TooManyStreams, Unavailable
]  # fmt: skip
ANSWERS = {example.name: encode(example.answer) for example in FEATURES}
CONVERSATION = b"".join([
    BEGINNING,
    encode_event(Event.FEATURES, ANSWERS["chosen"], "5f0c2f0f7d4b4c2f9d1e6a8b3c7d2e10-1"),
    HEARTBEAT,
    encode_event(Event.FEATURES, ANSWERS["withheld"], "5f0c2f0f7d4b4c2f9d1e6a8b3c7d2e10-2"),
    encode_event(Event.CLOSED, encode(closed(Ending.WITHHELD)), "5f0c2f0f7d4b4c2f9d1e6a8b3c7d2e10-3"),
])  # fmt: skip

router = Router(tags=["features"])


def stream_operation() -> dict[str, Any]:
    """The operation; its answer is a stream."""
    described = operation(EXAMPLES, {}, PROBLEMS, FeatureRequest)
    stream: dict[str, Any] = {"schema": {"type": "string"}}
    if OF_THIS_CATALOG:
        stream["examples"] = {"conversation": {"value": CONVERSATION.decode()}}
    described["responses"] |= {HTTPStatus.OK.value: {"description": "Events", "content": {MEDIA_TYPE: stream}}}
    return described


@router.post(
    "",
    auth=None,
    operation_id="followFeatures",
    summary="Follow one customer's features",
    openapi_extra=stream_operation(),
)
def follow_features(request: HttpRequest) -> HttpResponse:
    """An event stream (SSE): the whole answer at once, and again after each change, until the stream is closed.

    `features` has the answer of `POST /v1/features` at this moment; it replaces the one before. `unavailable` has a
    problem document: until the next `features`, no earlier answer may be used. `closed` is the last event; its
    `reason` states why, its `reconnect` whether to open the stream again. Permission is checked for each event.
    """
    return respond_to(request, refuse, "features/stream")


def refuse(call: Call) -> Reply:
    """404 for requests that are correct and allowed; their own problem for the others."""
    feature_handler().parse(call)
    raise NotFound(SERVED_ELSEWHERE)
