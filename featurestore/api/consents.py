"""POST /v1/consents: records a customer's decision, in effect before the answer."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.access.scopes import Scope
from featurestore.api import idempotency
from featurestore.api.auth import authenticate, require_purpose
from featurestore.api.body import BodyDecoder, Identifier, Name, full_match, subject_at
from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import ConsentProblem, Forbidden, Malformed, TooLarge, Unauthorised, Unavailable
from featurestore.api.examples import CONSENTS
from featurestore.api.reply import Call, Reply, encode
from featurestore.config import settings
from featurestore.consent.errors import ConsentError, InactivePurpose, UnknownCustomer, UnknownPurpose, WrongBasis
from featurestore.consent.permission_derivation import Decision
from featurestore.consent.services import Choice, record_decisions, request_key


class ConsentRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A customer's decision about one purpose, and how the customer was asked."""

    customer_id: Identifier
    purpose: Name
    decision: Literal["given", "withdrawn"]
    method: Literal["web", "app", "chat", "phone", "email", "shop", "api"]
    notice: (
        Annotated[
            str,
            full_match(
                r"[-\w]{1,64}/[0-9]{1,9}/[-\w]{1,16}",
                "the reference of a notice, name/version/language",
                "The notice that was shown, name/version/language. A consent needs one.",
            ),
        ]
        | None
    ) = None
    reason: Annotated[str, full_match(r"[^\x00-\x1f\x7f]{0,500}", "at most 500 characters, no line breaks")] = ""
    until: (
        Annotated[datetime, msgspec.Meta(tz=True, description="When the consent ends without a withdrawal.")] | None
    ) = None
    decided_at: (
        Annotated[
            datetime,
            msgspec.Meta(
                tz=True,
                description="When the customer decided. It orders decisions, however they arrive: one that is older "
                "than the newest recorded one changes nothing. Default: now, after all recorded ones.",
            ),
        ]
        | None
    ) = None


class ConsentAnswer(msgspec.Struct):
    """The recorded decision. ``effective``: every read from now on obeys it; else the store does not have it yet.

    ``superseded``: a newer decision about this purpose is recorded. Then ``effective`` is false and stays so, and
    ``since`` has no meaning. ``paused``: reads stay withheld until the purpose's pause is lifted.
    """

    record: int
    purpose: str
    decision: Literal["given", "withdrawn"]
    since: datetime
    until: datetime | None
    effective: bool
    decided_at: datetime
    superseded: bool
    paused: bool


BODY = BodyDecoder(ConsentRequest)
STATUSES: dict[type[ConsentError], int] = {
    UnknownCustomer: HTTPStatus.NOT_FOUND,
    UnknownPurpose: HTTPStatus.NOT_FOUND,
    InactivePurpose: HTTPStatus.CONFLICT,
    WrongBasis: HTTPStatus.CONFLICT,
}

router = Router(tags=["consents"])


@router.post(
    "",
    auth=None,
    operation_id="recordConsent",
    response={200: None, 201: None, 202: None},
    summary="Record a customer's decision",
    openapi_extra=operation(
        CONSENTS,
        {200: ConsentAnswer, 201: ConsentAnswer, 202: ConsentAnswer},
        [Malformed, Unauthorised, Forbidden, TooLarge, Unavailable],
        ConsentRequest,
        [idempotency.PARAMETER],
    ),
)
def record_consent(request: HttpRequest) -> HttpResponse:
    """Record that a customer gave or withdrew consent (of a legitimate interest: objected, or took that back).

    201: recorded, and every read from now on obeys it. 202: recorded, but the store does not have it yet: this process
    could not publish it, or the store is not vouched for. The relay and, twice a second, the store verifier try again.
    Until one of them succeeds or the vouch key has expired (2 s; 32 s if only the database is out of the verifier's
    reach), reads that reach the store are answered as before. 200: recorded, but a newer decision about this purpose
    is recorded, too: this one changes nothing (any more). With an `Idempotency-Key`, a repeat of the request records
    nothing; `effective`, `superseded` and `paused` are those of the moment. With another body, the key is refused.
    Needs the scope `consent:write`. Unlike a read, the answer reveals whether a customer is registered: a decision that
    could not be recorded must not look recorded.
    """
    return respond_to(request, record_decision, "consents")


def record_decision(call: Call) -> Reply:
    """Record one decision. Its actor is the client."""
    credential = authenticate(call, Scope.CONSENT_WRITE)
    request, key = BODY.decode(call.body), idempotency.idempotency_key_of(call.idempotency_key)
    secret = settings().subject_secret.encode()
    subject_at(request.customer_id, secret, "$.customer_id")  # refuses a malformed id before the database is asked
    require_purpose(credential, request.purpose)
    call.log_fields |= {"purpose": request.purpose, "decision": request.decision}
    choice = Choice(
        customer_id=request.customer_id,
        purpose=request.purpose,
        decision=Decision(request.decision),
        method=request.method,
        actor=credential.client,
        notice=request.notice,
        reason=request.reason,
        until=request.until,
        decided_at=request.decided_at,
        request=None if key is None else request_key(credential.client, key, encode(request), secret),
    )
    try:
        recorded = record_decisions([choice])[0]
    except ConsentError as error:
        status = STATUSES.get(type(error), HTTPStatus.UNPROCESSABLE_ENTITY)
        raise ConsentProblem(status, error.code.replace("_", "-"), str(error)) from None
    entry = recorded.record
    answer = ConsentAnswer(
        entry.sequence,
        request.purpose,
        request.decision,
        recorded.since,
        entry.until,
        effective=recorded.effective,
        decided_at=entry.decided_at,
        superseded=recorded.superseded,
        paused=recorded.paused,
    )
    pending_or_in_effect = HTTPStatus.CREATED if recorded.effective else HTTPStatus.ACCEPTED
    return Reply(HTTPStatus.OK if recorded.superseded else pending_or_in_effect, encode(answer))
