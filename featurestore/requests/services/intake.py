"""Intake of requests: by the API, by staff, by the hosted form. It does the same whether the customer exists or not."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import IntegrityError, transaction

from featurestore.clock import database_now
from featurestore.consent.models import Purpose
from featurestore.consent.services import RequestKey
from featurestore.customers.selectors import subject_of_customer
from featurestore.identity import IdentifierError
from featurestore.requests.actors import Actor
from featurestore.requests.due_dates import acknowledge_by, due_at, regime_named, rule_of
from featurestore.requests.errors import RequestKeyReused, WrongRequest
from featurestore.requests.models import Language, Regime, RequestType, SubjectRequest
from featurestore.requests.services.duplicates import duplicate_key, proceed_or_link
from featurestore.requests.services.timeline import Change, append_event, check_text, lock_duplicates
from featurestore.requests.states import Action, State

MAX_DETAILS_LENGTH = 4000
MAX_PURPOSES, MAX_PURPOSE_LENGTH = 50, 64
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without 0, 1, I and O, which are read for one another."""
RETRIES = 3
Verification = SubjectRequest.Verification


class Intake(NamedTuple):
    """A request as it arrives. ``attested``: the shop states that it has verified the customer. ``key``: a repeat with
    the same one records nothing.
    """

    type: str
    regime: str
    channel: str
    customer_id: str = ""
    purposes: Sequence[str] = ()
    details: str = ""
    language: str = Language.ENGLISH
    attested: bool = False
    key: RequestKey | None = None


class ReceivedRequest(NamedTuple):
    """A recorded request. ``repeated``: it was recorded before, under the same key."""

    request: SubjectRequest
    repeated: bool


def receive(intake: Intake, actor: Actor, now: datetime | None = None) -> ReceivedRequest:
    """Record a request. An attested one is verified at once. Raises RequestError."""
    _check(intake)
    regime, at = regime_named(intake.regime), now or database_now()
    for attempt in range(RETRIES):
        if (found := _find_repeated(intake.key)) is not None:
            return ReceivedRequest(found, True)
        try:
            with transaction.atomic():
                return ReceivedRequest(_record(intake, regime, actor, at), False)
        except IntegrityError:  # a repeat, or a duplicate that is verified, was recorded at the same time
            if attempt == RETRIES - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def was_received(key: RequestKey | None) -> bool:
    """Whether a request with this key was recorded before. Raises RequestKeyReused."""
    return _find_repeated(key) is not None


def _find_repeated(key: RequestKey | None) -> SubjectRequest | None:
    found = SubjectRequest.objects.filter(idempotency_key=key.key).first() if key else None
    if found is not None and key is not None and found.request_digest != key.digest:
        raise RequestKeyReused(
            "An earlier request with this Idempotency-Key had another body. Give each request a key of its own."
        )
    return found


def _record(intake: Intake, regime: Regime, actor: Actor, at: datetime) -> SubjectRequest:
    key = intake.key or RequestKey("", "")
    request = SubjectRequest(
        reference=new_reference(),
        type=intake.type,
        regime=regime,
        rule=rule_of(regime, intake.type, regime.calendar().day_of(at)),
        channel=intake.channel,
        language=intake.language,
        customer_id=intake.customer_id,
        subject=subject_of_customer(intake.customer_id) if intake.customer_id else "",
        purposes=sorted(set(intake.purposes)),
        details=intake.details,
        state=State.RECEIVED,
        received_at=at,
        changed_at=at,
        idempotency_key=key.key,
        request_digest=key.digest,
    )
    request.duplicate_key = duplicate_key(request, request.subject)
    if intake.attested:
        lock_duplicates({request.duplicate_key})
    request.due_at, request.acknowledge_by = due_at(request), acknowledge_by(request)
    append_event(request, Action.RECEIVE, actor, detail={"channel": intake.channel, "rule": str(request.rule)})
    if intake.attested:
        proceed_or_link(Change(request, at), Verification.ATTESTED, actor, "")
    return request


def new_reference() -> str:
    """A random reference, of 40 bits."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(8))
    return f"R-{text[:4]}-{text[4:]}"


def _check(intake: Intake) -> None:
    if intake.type not in RequestType.values:
        raise WrongRequest(f"Unknown type: one of {', '.join(RequestType.values)}.")
    if intake.language not in Language.values:
        raise WrongRequest(f"Unknown language: one of {', '.join(Language.values)}.")
    if intake.attested and not intake.customer_id:
        raise WrongRequest("An attested request names its customer.")
    if intake.customer_id:
        try:
            subject_of_customer(intake.customer_id)
        except IdentifierError as error:
            raise WrongRequest(f"{error}.") from None
    if len(intake.purposes) > MAX_PURPOSES or any(len(name) > MAX_PURPOSE_LENGTH for name in intake.purposes):
        raise WrongRequest(f"At most {MAX_PURPOSES} purposes of at most {MAX_PURPOSE_LENGTH} characters.")
    check_text("".join(intake.purposes))
    known = Purpose.objects.filter(name__in=intake.purposes).values_list("name", flat=True)
    if unknown := sorted(set(intake.purposes) - set(known)):
        raise WrongRequest(f"No purpose {unknown[0]!r}. The administration lists the purposes.")
    check_text(intake.details, MAX_DETAILS_LENGTH)
