"""/v1/requests: what customers ask for under a data protection law. Recorded, verified by a code, looked up.

Who may only record requests learns nothing of the customer: the answer is the same, by the same steps, whether the
customer exists, has a contact on record, or has asked before.
"""

from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.access.scopes import Scope
from featurestore.access.selectors import Credential
from featurestore.api import idempotency
from featurestore.api.auth import authenticate
from featurestore.api.body import BodyDecoder, Identifier, Name, full_match, subject_at
from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import (
    Forbidden,
    Malformed,
    RequestProblem,
    TooLarge,
    Unauthorised,
    Unavailable,
)
from featurestore.api.reply import Call, Reply, encode
from featurestore.api.request_examples import LINKS, LOOKED_UP, RECORDED, VERIFIED
from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent.services import request_key
from featurestore.requests import selectors, services
from featurestore.requests.actors import Actor, client
from featurestore.requests.due_dates import regime_named
from featurestore.requests.errors import NotPossible, RequestError, UnknownRequest
from featurestore.requests.form_links import FormLink, form_url
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services import Intake
from featurestore.requests.services.intake import MAX_DETAILS_LENGTH, MAX_PURPOSES

Type = Literal["access", "portability", "erasure", "rectification", "restriction", "objection", "opt-out"]
RegimeName = Annotated[str, full_match(r"[-\w]{1,32}", "the name of a regime: gdpr", "The law: gdpr, ccpa, lgpd.")]
MAX_LINK_HOURS = 720
STATUSES: dict[type[RequestError], int] = {
    UnknownRequest: HTTPStatus.NOT_FOUND,
    NotPossible: HTTPStatus.CONFLICT,
}


class ContactOnRecord(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where the customer is reached: by e-mail, or by an address that means something to the shop's webhook."""

    kind: Literal["email", "webhook"]
    address: Annotated[str, full_match(r"[^\x00-\x20\x7f]{1,320}", "1 to 320 characters without white space")]


class SubjectRequestBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A customer's request. ``attested``: the shop states that it has verified the customer."""

    type: Type
    regime: RegimeName
    customer_id: Identifier
    purposes: Annotated[
        list[Name],
        msgspec.Meta(max_length=MAX_PURPOSES, description="What it concerns; without any: every purpose that it can."),
    ] = []
    details: Annotated[
        str,
        full_match(
            rf"[^\x00]{{0,{MAX_DETAILS_LENGTH}}}",
            f"at most {MAX_DETAILS_LENGTH} characters, without a null character",
            "The customer's own words. Stored encrypted.",
        ),
    ] = ""
    language: Literal["en", "de", "es"] = "en"
    attested: bool = False
    contact: ContactOnRecord | None = None


class RecordedRequest(msgspec.Struct):
    """A recorded request. ``due_at``: the moment before which it must be answered, as of its receipt."""

    id: str
    type: Type
    regime: str
    received_at: datetime
    acknowledge_by: datetime | None
    due_at: datetime
    attested: bool


class CodeBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The code that the customer was sent. White space in it does not count."""

    code: Annotated[str, full_match(r"[0-9 ]{1,20}", "digits")]


class VerifiedRequest(msgspec.Struct):
    """A request that is verified now."""

    id: str
    verified: bool


class LinkBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A link to the customers' form. With ``customer_id``: the shop hands it to that customer alone."""

    regime: RegimeName
    language: Literal["en", "de", "es"] = "en"
    customer_id: Identifier | None = None
    hours: Annotated[float, msgspec.Meta(ge=1, le=MAX_LINK_HOURS, description="Until it expires.")] = 24


class LinkAnswer(msgspec.Struct):
    """The address of the form, and when it expires. Whoever has it may use it."""

    url: str
    expires_at: datetime


class RequestStatus(msgspec.Struct):
    """What became of a request. ``paused``: the clock stands still, and ``due_at`` is as it was then."""

    id: str
    type: Type
    regime: str
    customer_id: str
    state: str
    received_at: datetime
    verified_at: datetime | None
    acknowledge_by: datetime | None
    due_at: datetime
    paused: bool
    extended: bool
    answered_at: datetime | None
    ended_at: datetime | None
    refused_because: str | None
    duplicate_of: str | None


BODY, CODE, LINK = BodyDecoder(SubjectRequestBody), BodyDecoder(CodeBody), BodyDecoder(LinkBody)
router = Router(tags=["requests"])


@router.post(
    "",
    auth=None,
    operation_id="recordRequest",
    response={201: None},
    summary="Record a customer's request",
    openapi_extra=operation(
        RECORDED,
        {201: RecordedRequest},
        [Malformed, Unauthorised, Forbidden, TooLarge, Unavailable],
        SubjectRequestBody,
        [idempotency.PARAMETER],
    ),
)
def record_request(request: HttpRequest) -> HttpResponse:
    """Record that a customer asks for access, erasure or the like. Needs the scope `requests:write`.

    201 in any case: nothing tells whether the customer is registered, or has asked before. With `attested` or a
    `contact`, it needs the scope `requests:attest`, too: the shop states that it has verified the customer, or that
    this contact is the customer's. Without, the customer must be verified: a code is sent to a contact on record, or
    staff do so. With an `Idempotency-Key`, a repeat is recorded once and answered alike.
    """
    return respond_to(request, record_one, "requests")


@router.post(
    "/links",
    auth=None,
    operation_id="makeRequestLink",
    response={201: None},
    summary="Make a link to the customers' form",
    openapi_extra=operation(
        LINKS,
        {201: LinkAnswer},
        [Malformed, Unauthorised, Forbidden, TooLarge, Unavailable],
        LinkBody,
    ),
)
def make_link(request: HttpRequest) -> HttpResponse:
    """A link to the form on which a customer asks, without an account. Needs the scope `requests:write`.

    Without `customer_id` it is for everybody: who asks is verified afterwards. With it (scope `requests:attest`), what
    comes by it is attested: hand it to that customer alone, behind their login.
    """
    return respond_to(request, link_to_form, "requests/links")


@router.get(
    "/{reference}",
    auth=None,
    operation_id="lookUpRequest",
    response={200: None},
    summary="Look up what became of a request",
    openapi_extra=operation(LOOKED_UP, {200: RequestStatus}, [Unauthorised, Forbidden, Unavailable]),
)
def look_up_request(request: HttpRequest, reference: str) -> HttpResponse:
    """The state of a request, and when it is due. Needs the scope `requests:read`."""
    return respond_to(request, partial(look_up, reference=reference), "requests/one")


@router.post(
    "/{reference}/verification",
    auth=None,
    operation_id="verifyRequest",
    response={200: None},
    summary="Verify a request by the code that the customer was sent",
    openapi_extra=operation(
        VERIFIED,
        {200: VerifiedRequest},
        [Malformed, Unauthorised, Forbidden, TooLarge, Unavailable],
        CodeBody,
    ),
)
def verify_request(request: HttpRequest, reference: str) -> HttpResponse:
    """Pass on the code that the customer read to you. Needs the scope `requests:write`.

    A code is valid for an hour and five attempts. A wrong one, an expired one, and one of an unknown request are
    answered alike.
    """
    return respond_to(request, partial(verify, reference=reference), "requests/verification")


def record_one(call: Call) -> Reply:
    """Record one request. Its actor is the client."""
    credential = authenticate(call, Scope.REQUESTS_WRITE)
    body, key = BODY.decode(call.body), idempotency.idempotency_key_of(call.idempotency_key)
    secret = settings().subject_secret.encode()
    subject_at(body.customer_id, secret, "$.customer_id")
    if body.attested or body.contact:
        require_scope(credential, Scope.REQUESTS_ATTEST)
    call.log_fields |= {"type": body.type, "regime": body.regime, "attested": body.attested}
    intake = Intake(
        body.type,
        body.regime,
        SubjectRequest.Channel.API,
        body.customer_id,
        body.purposes,
        body.details,
        body.language,
        body.attested,
        None if key is None else request_key(credential.client, key, encode(body), secret),
    )
    try:
        found = record(intake, body.contact, client(credential.client))
    except RequestError as error:
        raise problem_of(error) from None
    answer = RecordedRequest(
        found.reference,
        body.type,
        body.regime,
        found.received_at,
        found.acknowledge_by,
        selectors.first_due_at(found),
        body.attested,
    )
    return Reply(HTTPStatus.CREATED, encode(answer))


def record(intake: Intake, contact: ContactOnRecord | None, actor: Actor) -> SubjectRequest:
    """Record a request, and first the contact that came with it, both or none; of a repeat neither.

    Raises RequestError.
    """
    with transaction.atomic():
        if contact is not None and not services.was_received(intake.key):
            services.record_contact(intake.customer_id, contact.kind, contact.address, actor)
        return services.receive(intake, actor).request


def verify(call: Call, reference: str) -> Reply:
    """Verify a request by a code."""
    authenticate(call, Scope.REQUESTS_WRITE)
    body = CODE.decode(call.body)
    try:
        found = services.confirm_code(reference, body.code)
    except RequestError as error:
        raise problem_of(error) from None
    return Reply(HTTPStatus.OK, encode(VerifiedRequest(found.reference, True)))


def look_up(call: Call, reference: str) -> Reply:
    """Answer the state of a request."""
    authenticate(call, Scope.REQUESTS_READ)
    try:
        found = selectors.request_named(reference)
    except RequestError as error:
        raise problem_of(error) from None
    answer = RequestStatus(
        id=found.reference,
        type=found.type,  # type: ignore[arg-type]  # a RequestType's value
        regime=found.regime.name,
        customer_id=found.customer_id,
        state=found.state,
        received_at=found.received_at,
        verified_at=found.verified_at,
        acknowledge_by=found.acknowledge_by,
        due_at=found.due_at,
        paused=found.paused_at is not None,
        extended=found.extended_at is not None,
        answered_at=found.answered_at,
        ended_at=found.ended_at,
        refused_because=found.ground or None,
        duplicate_of=found.duplicate_of.reference if found.duplicate_of else None,
    )
    return Reply(HTTPStatus.OK, encode(answer))


def link_to_form(call: Call) -> Reply:
    """Answer a link to the form."""
    credential = authenticate(call, Scope.REQUESTS_WRITE)
    body = LINK.decode(call.body)
    if body.customer_id is not None:
        subject_at(body.customer_id, settings().subject_secret.encode(), "$.customer_id")
        require_scope(credential, Scope.REQUESTS_ATTEST)
    try:
        regime_named(body.regime)
    except RequestError as error:
        raise problem_of(error) from None
    now = database_now()
    expires_at = now + timedelta(hours=body.hours)
    url = form_url(FormLink(body.regime, body.language, body.customer_id or ""), expires_at, now)
    return Reply(HTTPStatus.CREATED, encode(LinkAnswer(url, expires_at)))


def require_scope(credential: Credential, scope: Scope) -> None:
    """Raises Forbidden unless the credential holds a further scope."""
    if scope not in credential.scopes:
        challenge = f'Bearer realm="rapport", error="insufficient_scope", scope="{scope}"'
        raise Forbidden(f"This key does not hold the scope {scope}.", {"WWW-Authenticate": challenge})


def problem_of(error: RequestError) -> RequestProblem:
    status = STATUSES.get(type(error), HTTPStatus.UNPROCESSABLE_ENTITY)
    return RequestProblem(status, error.code.replace("_", "-"), str(error))
