"""POST /v1/events: what happened in a conversation, on its way to Kafka once and for all."""

from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, Union

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.access.scopes import Scope
from featurestore.api.auth import authenticate
from featurestore.api.body import BodyDecoder, Identifier, Name, full_match, subject_at
from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import (
    EventRefused,
    Forbidden,
    Malformed,
    TooLarge,
    Unauthorised,
    Unavailable,
    Unprocessable,
)
from featurestore.api.examples import EVENTS
from featurestore.api.reply import Call, Reply, encode
from featurestore.catalog import registry
from featurestore.config import settings
from featurestore.definitions import EventSource, InvalidEvent
from featurestore.definitions.source import ms_of
from featurestore.ingest.acknowledged_writer import EncodedEvent, acknowledged_event_writer
from featurestore.ingest.errors import NotAcknowledged
from featurestore.tiles.deduplication import SPAN_S
from featurestore.tiles.resolutions import MAX_CLOCK_SKEW_S

LARGEST_WRITE = 100
OLDEST_S = SPAN_S - 86_400
"""A day less than identities are kept: whatever else happens to the customer, an event sent again is recognised."""

WRITABLE = {name: source for name, source in registry.sources.items() if source.writable}


class EventHead(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Of every event: whose it is, its identity and its time."""

    customer_id: Identifier
    id: Annotated[
        str,
        full_match(r"[!-~]{1,128}", "Your own id of the event, the same when it is sent again. It identifies nobody."),
    ]
    time: Annotated[datetime, msgspec.Meta(tz=True, description="When it happened, with its zone.")]


class Received(EventHead, forbid_unknown_fields=True, kw_only=True):
    """An event as it comes in; its source says how to read the data."""

    source: Name
    data: msgspec.Raw


def event_of(source: EventSource) -> type[msgspec.Struct]:
    """An event of one source, as it is documented."""
    made = msgspec.defstruct(
        f"{source.name.title().replace('_', '')}Event",
        [("source", Literal[source.name]), ("data", source.data)],
        bases=(EventHead,),
        kw_only=True,
        forbid_unknown_fields=True,
    )
    made.__doc__ = source.description
    return made


SIZES = {"minItems": 1, "maxItems": LARGEST_WRITE}
DESCRIBED = msgspec.Meta(description=f"1 to {LARGEST_WRITE} events.", extra_json_schema=SIZES)
AnyEvent: Any = Union[tuple(map(event_of, WRITABLE.values()))] if WRITABLE else EventHead  # noqa: UP007  (made of many)


class EventsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Events of conversations."""

    events: Annotated[list[AnyEvent], DESCRIBED]


class ReceivedEvents(msgspec.Struct, forbid_unknown_fields=True):
    """The same before their sources are known."""

    events: list[msgspec.Raw]


class EventsAnswer(msgspec.Struct):
    """How many events Kafka has acknowledged: all of the request."""

    accepted: int


BODY = BodyDecoder(ReceivedEvents)
router = Router(tags=["events"])


@router.post(
    "",
    auth=None,
    operation_id="writeEvents",
    response={202: None},
    summary="Write up to 100 events",
    openapi_extra=operation(
        EVENTS,
        {202: EventsAnswer},
        [Malformed, Unauthorised, Forbidden, TooLarge, Unprocessable, Unavailable],
        EventsRequest,
    ),
)
def write_events(request: HttpRequest) -> HttpResponse:
    """Write events of conversations into sources that are open to clients. All or none is taken.

    202: Kafka has acknowledged them, on every replica in sync; they count in reads within milliseconds. 503: it has not
    in time, and some may be there: send all again with the same ids, and none counts twice. Whether a customer is
    known, and has agreed, is not told: events without permission are dropped later. Needs the scope `events:write`.
    """
    return respond_to(request, write, "events")


def write(call: Call) -> Reply:
    """Check every event, then hand all of them to Kafka."""
    credential = authenticate(call, Scope.EVENTS_WRITE)
    received = BODY.decode(call.body).events
    if not 1 <= len(received) <= LARGEST_WRITE:
        raise Unprocessable(f"Send 1 to {LARGEST_WRITE} events at a time - at `$.events`")
    call.log_fields["events"] = len(received)
    outgoing = list(checked(received, f"api/{credential.client}", call.now_ms))
    try:
        acknowledged_event_writer().write(outgoing)
    except NotAcknowledged as error:
        call.log_fields["kafka"] = str(error)
        again = "Send the same events again, with the same ids: none counts twice."
        raise Unavailable(f"Kafka did not acknowledge the events in time. {again}") from None
    return Reply(HTTPStatus.ACCEPTED, encode(EventsAnswer(len(outgoing))))


def checked(received: list[msgspec.Raw], origin: str, now_ms: int) -> Iterator[EncodedEvent]:
    """Each event as its source encodes it, and takes it. Raises Malformed, EventRefused."""
    secret = settings().subject_secret.encode()
    for i, raw in enumerate(received):
        at = f"$.events[{i}]"
        event = BodyDecoder(Received, at).decode_part(raw)
        if (source := WRITABLE.get(event.source)) is None:
            raise Malformed(f"Not a source that is open to clients: {', '.join(WRITABLE)} - at `{at}.source`")
        subject = subject_at(event.customer_id, secret, f"{at}.customer_id")
        check_time(event.time, now_ms, f"{at}.time")
        data = BodyDecoder(source.data, f"{at}.data").decode_part(event.data)
        value = source.encode(id=event.id, source=origin, subject=subject, time=event.time, data=data)
        try:
            source.decode(value)  # as the streams will
        except InvalidEvent as error:
            raise Malformed(str(error).replace("`$", f"`{at}")) from None
        yield EncodedEvent(source, subject, value)


def check_time(time: datetime, now_ms: int, path: str) -> None:
    """Raises EventRefused for a time that the streams would not take, or at which they could count an event twice."""
    ahead_ms = ms_of(time) - now_ms
    if ahead_ms > MAX_CLOCK_SKEW_S * 1000:
        raise EventRefused(f"An event is at most {MAX_CLOCK_SKEW_S} s ahead of the server's clock - at `{path}`")
    if ahead_ms < -OLDEST_S * 1000:
        raise EventRefused(f"An event is at most {OLDEST_S // 86_400} days old - at `{path}`")
