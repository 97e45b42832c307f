"""POST /v1/consents/as-of: what a customer allowed at a past time, on which basis, and who read what until then."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.access.scopes import Scope
from featurestore.accesslog.selectors import Reads, reads_of
from featurestore.api.as_of_examples import AS_OF
from featurestore.api.auth import authenticate, require_purpose
from featurestore.api.body import BodyDecoder, Identifier, Name, subject_at
from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import AsOfProblem, Forbidden, Malformed, TooLarge, Unauthorised, Unavailable
from featurestore.api.reply import Call, Reply, encode
from featurestore.auditlog.services import signed_document
from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent.as_of import PurposeAsOf, permissions_as_of
from featurestore.consent.errors import ConsentError, UnknownCustomer
from featurestore.profiles.as_of_document import KIND, as_of_document

MAX_PURPOSES, MAX_READS, MAX_READ_HOURS = 50, 100, 744


class AsOfRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A customer and a time. ``purposes``: of the credential's, those that are asked for; none named: all of them."""

    customer_id: Identifier
    at: Annotated[datetime, msgspec.Meta(tz=True, description="A past time.")]
    purposes: Annotated[list[Name], msgspec.Meta(max_length=MAX_PURPOSES)] = []
    read_hours: Annotated[
        float, msgspec.Meta(ge=0, le=MAX_READ_HOURS, description="Hours before `at` of which reads are listed.")
    ] = 24
    signed: Annotated[
        bool, msgspec.Meta(description="Issue the answer as a signed document; a minute later it is answered.")
    ] = False


class PurposeThen(msgspec.Struct):
    """What was allowed for a purpose. ``reason``: why not; null if it was allowed.

    ``since``: from when events counted. ``recorded_at``: when it was recorded; ``in_effect_at``: when the store had it,
    null if that is not known any more (30 days). ``record``, ``decision``, ``method``: of the last decision that
    counted; ``notice``: the one under which the customer last consented.
    """

    purpose: str
    lawful_basis: str
    allowed: bool
    reason: str | None
    since: datetime | None
    until: datetime | None
    recorded_at: datetime | None
    in_effect_at: datetime | None
    record: int | None
    decision: str | None
    decided_at: datetime | None
    method: str | None
    notice: str | None


class ReadThen(msgspec.Struct):
    """A read of the customer: by which client, and of which views the values were given or withheld."""

    at: datetime
    client: str
    service: str
    purpose: str
    given: list[str]
    withheld: dict[str, str]
    request_id: str


class AsOfAnswer(msgspec.Struct):
    """``reads``: the last hundred at most, the newest first. ``reads_complete``: there were no others.

    ``signed_document``: of these purposes, with the reads of the day before, if `signed` asked for it; null until it is
    signed.
    """

    at: datetime
    purposes: list[PurposeThen]
    reads_since: datetime
    reads: list[ReadThen]
    reads_complete: bool
    signed_document: dict[str, Any] | None


BODY = BodyDecoder(AsOfRequest)
router = Router(tags=["consents"])


@router.post(
    "/as-of",
    auth=None,
    operation_id="consentsAsOf",
    response={200: None},
    summary="What a customer allowed at a past time, and who read what",
    openapi_extra=operation(
        AS_OF, {200: AsOfAnswer}, [Malformed, Unauthorised, Forbidden, TooLarge, Unavailable], AsOfRequest
    ),
)
def consents_as_of(request: HttpRequest) -> HttpResponse:
    """What was recorded by a time: a decision that was recorded later did not count yet, whatever time it is about.

    Answers the purposes that the credential holds, and the reads for these. Needs the scope `consent:read`. Whether
    reads were answered also depended on the store: while it was not vouched for, every read was withheld. `reads` has
    what was given. Of an erased customer nothing is answered; the administration can show it.
    """
    return respond_to(request, answer_as_of, "consents/as-of")


def answer_as_of(call: Call) -> Reply:
    """Answer what was allowed at a time."""
    credential = authenticate(call, Scope.CONSENT_READ)
    body = BODY.decode(call.body)
    subject = subject_at(body.customer_id, settings().subject_secret.encode(), "$.customer_id")
    for name in body.purposes:
        require_purpose(credential, name)
    asked = frozenset(body.purposes) or credential.purposes
    try:
        found = [one for one in permissions_as_of(body.customer_id, body.at) if one.purpose.name in asked]
    except ConsentError as error:
        unknown = isinstance(error, UnknownCustomer)
        status = HTTPStatus.NOT_FOUND if unknown else HTTPStatus.UNPROCESSABLE_ENTITY
        raise AsOfProblem(status, error.code.replace("_", "-"), str(error)) from None
    since = body.at - timedelta(hours=body.read_hours)
    reads = reads_of(subject, since, body.at, asked, MAX_READS)
    signed = _signed(body, asked, credential.client) if body.signed else None
    return Reply(HTTPStatus.OK, encode(_answer(body.at, found, since, reads, signed)))


def _signed(body: AsOfRequest, purposes: frozenset[str], actor: str) -> dict[str, Any] | None:
    document, subject = as_of_document(body.customer_id, body.at, purposes=purposes)
    return signed_document(KIND, document, subject=subject, actor=actor, now=database_now())


def _answer(
    at: datetime, found: list[PurposeAsOf], since: datetime, reads: Reads, signed: dict[str, Any] | None
) -> AsOfAnswer:
    listed = [
        ReadThen(
            one.at,
            one.context.client,
            one.context.service,
            one.context.purpose,
            one.context.given,
            one.context.withheld,
            one.request_id,
        )
        for one in reads.records
    ]
    return AsOfAnswer(at, [_purpose(one) for one in found], since, listed, reads.complete, signed)


def _purpose(one: PurposeAsOf) -> PurposeThen:
    record = one.record
    return PurposeThen(
        purpose=one.purpose.name,
        lawful_basis=one.purpose.lawful_basis,
        allowed=one.allowed,
        reason=one.reason,
        since=one.since,
        until=one.until,
        recorded_at=one.recorded_at,
        in_effect_at=one.in_effect_at,
        record=record.sequence if record else None,
        decision=record.decision if record else None,
        decided_at=record.decided_at if record else None,
        method=record.method if record else None,
        notice=one.notice.reference if one.notice else None,
    )
