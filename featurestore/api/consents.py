"""POST /v1/consents: a customer's decision, in effect before it is acknowledged."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.access.scopes import Scope
from featurestore.api.auth import authenticate, require_purpose
from featurestore.api.body import BodyDecoder, Identifier, Name, full_match, subject_at
from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import Forbidden, Malformed, Refused, TooLarge, Unauthorised, Unavailable
from featurestore.api.examples import CONSENTS
from featurestore.api.reply import Call, Reply, encode
from featurestore.config import settings
from featurestore.consent.errors import ConsentError, InactivePurpose, UnknownCustomer, UnknownPurpose, WrongBasis
from featurestore.consent.permissions import Decision
from featurestore.consent.services import Choice, record


class ConsentRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a customer decided, and how they were asked."""

    customer_id: Identifier
    purpose: Name
    decision: Literal["given", "withdrawn"]
    method: Literal["web", "app", "chat", "phone", "email", "shop", "api"]
    notice: (
        Annotated[
            str,
            full_match(
                r"[-\w]{1,64}/[0-9]{1,9}/[-\w]{1,16}",
                "The notice that was shown, name/version/language. A consent needs one.",
            ),
        ]
        | None
    ) = None
    reason: Annotated[str, full_match(r"[^\x00-\x1f\x7f]{0,500}")] = ""
    until: Annotated[datetime, msgspec.Meta(tz=True, description="When the consent ends by itself.")] | None = None


class ConsentAnswer(msgspec.Struct):
    """What was recorded. ``effective``: every read from now on obeys; else it is on its way (202)."""

    record: int
    purpose: str
    decision: Literal["given", "withdrawn"]
    since: datetime
    until: datetime | None
    effective: bool


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
    response={201: None, 202: None},
    summary="Record a customer's decision",
    openapi_extra=operation(
        CONSENTS,
        {201: ConsentAnswer, 202: ConsentAnswer},
        [Malformed, Unauthorised, Forbidden, TooLarge, Unavailable],
        ConsentRequest,
    ),
)
def record_consent(request: HttpRequest) -> HttpResponse:
    """Consent given or withdrawn (for a legitimate interest: objected to, or the objection taken back).

    201: recorded, and every read from now on obeys. 202: recorded, and pending: this process could not put it into the
    store, or nobody vouches for the store. The relay and the voucher, which tries twice a second, go on trying; until
    one of them succeeds or the voucher's word has expired (2 s; 32 s if it can't reach the database alone), reads that
    reach the store are answered as before. Needs the scope `consent:write`. Unlike a read, it tells whether a customer
    is registered: a decision that nobody can keep must not look kept.
    """
    return respond_to(request, decide, "consents")


def decide(call: Call) -> Reply:
    """Record one decision in the caller's name."""
    credential = authenticate(call, Scope.CONSENT_WRITE)
    asked = BODY.decode(call.body)
    subject_at(asked.customer_id, settings().subject_secret.encode(), "$.customer_id")
    require_purpose(credential, asked.purpose)
    call.log_fields |= {"purpose": asked.purpose, "decision": asked.decision}
    choice = Choice(
        customer_id=asked.customer_id,
        purpose=asked.purpose,
        decision=Decision(asked.decision),
        method=asked.method,
        actor=credential.client,
        notice=asked.notice,
        reason=asked.reason,
        until=asked.until,
    )
    try:
        decided = record([choice])[0]
    except ConsentError as error:
        status = STATUSES.get(type(error), HTTPStatus.UNPROCESSABLE_ENTITY)
        raise Refused(status, error.code.replace("_", "-"), str(error)) from None
    entry = decided.record
    answer = ConsentAnswer(
        entry.sequence, asked.purpose, asked.decision, entry.since, entry.until, effective=decided.effective
    )
    return Reply(HTTPStatus.CREATED if decided.effective else HTTPStatus.ACCEPTED, encode(answer))
