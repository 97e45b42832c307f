"""POST /v1/features/stream in the OpenAPI document. Who asks Django for it is told where streams are."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
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
from featurestore.api.examples import CHOSEN, FEATURES, QUESTION, Example, problem
from featurestore.api.handler import FeatureRequest, feature_handler
from featurestore.api.reply import Call, Reply, encode
from featurestore.api.sse.events import BEGINNING, HEARTBEAT, MEDIA_TYPE, Ending, Event, closing, event

ELSEWHERE = "Event streams are served by a process of their own (sse): have your proxy send this address there."
EXAMPLES = [
    Example(
        "elsewhere",
        "Asked of a process that serves no streams",
        QUESTION | CHOSEN,
        404,
        problem(404, "not-found", "Nothing is here", ELSEWHERE),
    )
]
PROBLEMS = [
    Malformed, Unauthorised, Forbidden, UnknownService, NotFound, TooLarge, Unprocessable, TooManyStreams, Unavailable
]  # fmt: skip
ANSWERS = {example.name: encode(example.answer) for example in FEATURES}
CONVERSATION = b"".join([
    BEGINNING,
    event(Event.FEATURES, ANSWERS["chosen"], "5f0c2f0f7d4b4c2f9d1e6a8b3c7d2e10-1"),
    HEARTBEAT,
    event(Event.FEATURES, ANSWERS["withheld"], "5f0c2f0f7d4b4c2f9d1e6a8b3c7d2e10-2"),
    event(Event.CLOSED, encode(closing(Ending.WITHHELD)), "5f0c2f0f7d4b4c2f9d1e6a8b3c7d2e10-3"),
])  # fmt: skip

router = Router(tags=["features"])


def described() -> dict[str, Any]:
    """The operation; its answer is a stream."""
    found = operation(EXAMPLES, {}, PROBLEMS, FeatureRequest)
    stream = {"schema": {"type": "string"}, "examples": {"conversation": {"value": CONVERSATION.decode()}}}
    found["responses"] |= {HTTPStatus.OK.value: {"description": "Events", "content": {MEDIA_TYPE: stream}}}
    return found


@router.post(
    "", auth=None, operation_id="followFeatures", summary="Follow one customer's features", openapi_extra=described()
)
def follow_features(request: HttpRequest) -> HttpResponse:
    """An event stream (SSE): the whole answer at once, and again whenever it has changed, until the stream is closed.

    `features` holds what `POST /v1/features` would answer now, and replaces what was told before. `unavailable` holds a
    problem document: until the next `features`, nothing that was told may be used. `closed` is the last event; its
    `reason` says why, its `reconnect` whether to ask again. Permission is checked for each event.
    """
    return respond_to(request, elsewhere, "features/stream")


def elsewhere(call: Call) -> Reply:
    """Whoever may not ask learns that first."""
    feature_handler().parse(call)
    raise NotFound(ELSEWHERE)
