"""POST /v1/events: writes events of conversations to Kafka, and answers when Kafka has acknowledged them."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal, Union

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.access.scopes import Scope
from featurestore.access.selectors import Credential
from featurestore.api.auth import authenticate, charge
from featurestore.api.body import BodyDecoder, RepeatedField, refuse_repeated_fields
from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import (
    EventTimeRefused,
    Forbidden,
    Malformed,
    Problem,
    TooLarge,
    Unauthorised,
    Unavailable,
    Unprocessable,
)
from featurestore.api.event_checks import WRITABLE, CheckedEvent, EventFields, checked_event
from featurestore.api.event_permissions import erased, expect
from featurestore.api.event_results import (
    ACCEPTED,
    DUPLICATE,
    NOT_COUNTED,
    EventResult,
    EventsAnswer,
    EventStatus,
    by_status,
    refused,
)
from featurestore.api.examples import EVENTS
from featurestore.api.metrics import count_events
from featurestore.api.reply import Call, Reply, encode
from featurestore.config import settings
from featurestore.definitions import EventSource
from featurestore.ingest.acknowledged_writer import acknowledged_event_writer
from featurestore.ingest.errors import NotAcknowledged
from featurestore.ingest.recent_events import recent_events

LARGEST_WRITE = 100


def event_struct(source: EventSource) -> type[msgspec.Struct]:
    """The struct of an event of one source, for the documentation."""
    struct = msgspec.defstruct(
        f"{source.name.title().replace('_', '')}Event",
        [("source", Literal[source.name]), ("data", source.accepted)],
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


BODY = BodyDecoder(UncheckedEvents)
router = Router(tags=["events"])


@router.post(
    "",
    auth=None,
    operation_id="writeEvents",
    response={202: None, 207: None},
    summary="Write up to 100 events",
    openapi_extra=operation(
        EVENTS,
        {202: EventsAnswer, 207: EventsAnswer},
        [Malformed, Unauthorised, Forbidden, TooLarge, Unprocessable, Unavailable],
        EventsRequest,
    ),
)
def write_events(request: HttpRequest) -> HttpResponse:
    """Write events of conversations to sources that are open to clients. Each is judged by itself.

    202: Kafka has acknowledged all of them on every replica in sync; reads include them within milliseconds. 207: it
    has acknowledged some, and `results` says which were refused and why: correct these and send them alone, or drop
    them. 400 or 422: every event was refused, for the reason of the first, and nothing was sent. 503: Kafka has not
    acknowledged them in time, and may have stored some: send all again with the same ids, and none counts twice.
    A result is `accepted`, `duplicate` (of an event that was sent before: only one counts), `not_counted` (no purpose
    of the key was permitted by the customer when it happened: it won't count later either) or `refused`. An
    unregistered customer, one who did not agree and one who was erased, whose events are not stored, are answered
    alike. Needs the scope `events:write`.
    """
    return respond_to(request, write_batch, "events")


def write_batch(call: Call) -> Reply:
    """Check every event, then send those that passed to Kafka."""
    credential = authenticate(call, Scope.EVENTS_WRITE)
    received = received_events(call.body)
    if not 1 <= len(received) <= LARGEST_WRITE:
        raise Unprocessable(f"Send 1 to {LARGEST_WRITE} events at a time - at `$.events`")
    charge(call, credential, len(received) - 1)  # one is charged already
    checked = [checked_or_problem(raw, f"$.events[{i}]", call, credential) for i, raw in enumerate(received)]
    good = [one for one in checked if isinstance(one, CheckedEvent)]
    if not good and isinstance(first := checked[0], Problem):
        call.log_fields["refused"] = len(checked)
        count_events({EventStatus.REFUSED: len(checked)})
        raise first
    written = iter(write_checked(good, call, credential))
    results = [refused(one) if isinstance(one, Problem) else next(written) for one in checked]
    found = by_status(results)
    count_events(found)
    call.log_fields |= {"events": len(received), **{status: n for status, n in found.items() if n != len(received)}}
    number = found[EventStatus.REFUSED]
    status = HTTPStatus.MULTI_STATUS if number else HTTPStatus.ACCEPTED
    return Reply(status, encode(EventsAnswer(len(good), number, results)))


Received = msgspec.Raw | RepeatedField


def received_events(body: bytes) -> Sequence[Received]:
    """The events of a body, or the problem of one that repeats a field. Raises Malformed, TooLarge."""
    try:
        return BODY.decode(body).events
    except RepeatedField:
        events = [raw_or_problem(raw) for raw in BODY.decode_part(body).events]
        if body.count(b'"events"') > 1 or not any(isinstance(one, RepeatedField) for one in events):
            raise  # it is, or may be, the body that repeats its own field
        return events


def raw_or_problem(raw: msgspec.Raw) -> Received:
    """An event, or the problem that it repeats a field."""
    try:
        refuse_repeated_fields(bytes(raw))
    except RepeatedField as problem:
        return problem
    return raw


def checked_or_problem(raw: Received, path: str, call: Call, credential: Credential) -> CheckedEvent | Problem:
    """An event, checked, or what is wrong with it."""
    if isinstance(raw, RepeatedField):
        return RepeatedField(f"A field is repeated: send each once - at `{path}`")
    secret = settings().subject_secret.encode()
    try:
        return checked_event(raw, path, f"api/{credential.client}", secret, call.now_ms)
    except (Malformed, EventTimeRefused) as problem:
        return problem


def write_checked(events: Sequence[CheckedEvent], call: Call, credential: Credential) -> list[EventResult]:
    """Send events to Kafka, but for those of erased customers, which are answered like those of a stranger; what became
    of each. Raises Unavailable.
    """
    identities = [event.identity for event in events]
    repeated = recent_events().repeats(credential.client, identities, call.now_ms)
    expected = expect(events, credential.purposes, call.now_ms)
    suppressed = erased(events, expected)
    sent = [event.encoded for event, is_erased in zip(events, suppressed, strict=True) if not is_erased]
    try:
        if sent:
            acknowledged_event_writer().write(sent)
    except NotAcknowledged as error:
        call.log_fields["kafka"] = str(error)
        again = "Send the same events again, with the same ids: none counts twice."
        raise Unavailable(f"Kafka did not acknowledge the events in time. {again}") from None
    recent_events().add(credential.client, identities, call.now_ms)
    results = zip(repeated, expected, strict=True)
    return [NOT_COUNTED if one.uncounted else DUPLICATE if repeat else ACCEPTED for repeat, one in results]
