"""POST /v1/events: writes events of conversations to Kafka, and answers when Kafka has acknowledged them."""

from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, Union

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.access.scopes import Scope
from featurestore.api.auth import authenticate, charge
from featurestore.api.body import BodyDecoder, Identifier, Name, full_match, subject_at
from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import (
    EventTimeRefused,
    Forbidden,
    Malformed,
    TooLarge,
    Unauthorised,
    Unavailable,
    Unprocessable,
)
from featurestore.api.examples import EVENTS
from featurestore.api.reply import Call, Reply, encode
from featurestore.config import settings
from featurestore.definitions import EventSource, InvalidEvent
from featurestore.definitions.source import ms_of
from featurestore.definitions.windows import MAX_CLOCK_SKEW_S
from featurestore.ingest.acknowledged_writer import EncodedEvent, acknowledged_event_writer
from featurestore.ingest.errors import NotAcknowledged
from featurestore.installed_catalog import catalog
from featurestore.tiles.deduplication import DEDUPLICATION_SPAN_S

LARGEST_WRITE = 100
MAX_AGE_S = (DEDUPLICATION_SPAN_S // 86_400 - 1) * 86_400
"""A day less than the deduplication window, which recognises a repeat unless 1,024 newer events came between."""

WRITABLE = {name: source for name, source in catalog().registry.sources.items() if source.writable}


class EventFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Fields of every event: its customer, id and time."""

    customer_id: Identifier
    id: Annotated[
        str,
        full_match(
            r"[!-~]{1,128}", "Your own id of the event, the same when you send it again. It must identify no person."
        ),
    ]
    time: Annotated[datetime, msgspec.Meta(tz=True, description="When it happened, with a time zone.")]


class UncheckedEvent(EventFields, forbid_unknown_fields=True, kw_only=True):
    """An event whose data are not decoded yet: its source decodes them."""

    source: Name
    data: msgspec.Raw


def event_struct(source: EventSource) -> type[msgspec.Struct]:
    """The struct of an event of one source, for the documentation."""
    struct = msgspec.defstruct(
        f"{source.name.title().replace('_', '')}Event",
        [("source", Literal[source.name]), ("data", source.data)],
        bases=(EventFields,),
        kw_only=True,
        forbid_unknown_fields=True,
    )
    struct.__doc__ = source.description
    return struct


BATCH_SIZES = {"minItems": 1, "maxItems": LARGEST_WRITE}
BATCH = msgspec.Meta(description=f"1 to {LARGEST_WRITE} events.", extra_json_schema=BATCH_SIZES)
AnyEvent: Any = Union[tuple(map(event_struct, WRITABLE.values()))] if WRITABLE else EventFields  # noqa: UP007  (of a variable number)


class EventsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Events of conversations."""

    events: Annotated[list[AnyEvent], BATCH]


class UncheckedEvents(msgspec.Struct, forbid_unknown_fields=True):
    """Events whose sources are not known yet."""

    events: list[msgspec.Raw]


class EventsAnswer(msgspec.Struct):
    """The number of events that Kafka has acknowledged: all of the request."""

    accepted: int


BODY = BodyDecoder(UncheckedEvents)
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
    """Write events of conversations to sources that are open to clients. All are accepted, or none.

    202: Kafka has acknowledged them on every replica in sync; reads include them within milliseconds. 503: Kafka has
    not acknowledged them in time, and may have stored some: send all again with the same ids, and none counts twice.
    The answer does not reveal whether a customer is registered or consents: the streams drop events without permission.
    Needs the scope `events:write`.
    """
    return respond_to(request, write_batch, "events")


def write_batch(call: Call) -> Reply:
    """Check every event, then send all of them to Kafka."""
    credential = authenticate(call, Scope.EVENTS_WRITE)
    received = BODY.decode(call.body).events
    if not 1 <= len(received) <= LARGEST_WRITE:
        raise Unprocessable(f"Send 1 to {LARGEST_WRITE} events at a time - at `$.events`")
    charge(call, credential, len(received) - 1)  # one is charged already
    call.log_fields["events"] = len(received)
    outgoing = list(encoded_events(received, f"api/{credential.client}", call.now_ms))
    try:
        acknowledged_event_writer().write(outgoing)
    except NotAcknowledged as error:
        call.log_fields["kafka"] = str(error)
        again = "Send the same events again, with the same ids: none counts twice."
        raise Unavailable(f"Kafka did not acknowledge the events in time. {again}") from None
    return Reply(HTTPStatus.ACCEPTED, encode(EventsAnswer(len(outgoing))))


def encoded_events(received: list[msgspec.Raw], origin: str, now_ms: int) -> Iterator[EncodedEvent]:
    """Each event, encoded and checked as the streams will check it. Raises Malformed, EventTimeRefused."""
    secret = settings().subject_secret.encode()
    for i, raw in enumerate(received):
        at = f"$.events[{i}]"
        event = BodyDecoder(UncheckedEvent, at).decode_part(raw)
        if (source := WRITABLE.get(event.source)) is None:
            raise Malformed(f"Not a source that is open to clients: {', '.join(WRITABLE)} - at `{at}.source`")
        subject = subject_at(event.customer_id, secret, f"{at}.customer_id")
        check_time(event.time, now_ms, f"{at}.time")
        data = BodyDecoder(source.data, f"{at}.data").decode_part(event.data)
        value = source.encode(id=event.id, source=origin, subject=subject, time=event.time, data=data)
        try:
            source.decode(value)
        except InvalidEvent as error:
            raise Malformed(str(error).replace("`$", f"`{at}")) from None
        yield EncodedEvent(source, subject, value)


def check_time(time: datetime, now_ms: int, path: str) -> None:
    """Raises EventTimeRefused for a time that the streams would quarantine, or past which they could count it twice."""
    ahead_ms = ms_of(time) - now_ms
    if ahead_ms > MAX_CLOCK_SKEW_S * 1000:
        raise EventTimeRefused(f"An event is at most {MAX_CLOCK_SKEW_S} s ahead of the server's clock - at `{path}`")
    if ahead_ms < -MAX_AGE_S * 1000:
        raise EventTimeRefused(f"An event is at most {MAX_AGE_S // 86_400} days old - at `{path}`")
