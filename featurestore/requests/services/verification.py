"""Verification of who asks: attested by the shop, by a code sent to a contact on record, or by staff."""

import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import F

from featurestore.clock import database_now
from featurestore.customers.selectors import subject_of_customer
from featurestore.identity import IdentifierError
from featurestore.requests.actors import CUSTOMER, SYSTEM, Actor
from featurestore.requests.contact_box import encrypt, keyed_hash
from featurestore.requests.errors import NoReason, UnknownRequest, WrongCode, WrongRequest
from featurestore.requests.models import Contact, SubjectRequest, VerificationCode
from featurestore.requests.services.duplicates import duplicate_key, proceed_or_link
from featurestore.requests.services.timeline import Change, change_of, check_text, required
from featurestore.requests.states import UNVERIFIED, Action, State

CODE_DIGITS = 8
CODE_LIFETIME = timedelta(hours=1)
MAX_ATTEMPTS = 5
MAX_CODES = 5
"""Codes of one request. With 5 attempts each, a guess of 8 digits succeeds once in 4 million requests."""
LAPSE_AFTER = timedelta(days=30)
MAX_ADDRESS_LENGTH = 320
RETRIES = 3
WRONG = "The code is wrong, or no longer valid. Check it, or ask for a new one."
Verification = SubjectRequest.Verification


def record_contact(customer_id: str, kind: str, address: str, actor: Actor, now: datetime | None = None) -> Contact:
    """Put a contact of a customer on record. A repeat changes nothing. Raises WrongRequest."""
    subject, address = _subject(customer_id), address.strip()
    if kind not in Contact.Kind.values or not address or len(address) > MAX_ADDRESS_LENGTH:
        raise WrongRequest(f"A contact has a kind and an address of at most {MAX_ADDRESS_LENGTH} characters.")
    if kind == Contact.Kind.EMAIL and (address.count("@") != 1 or any(map(str.isspace, address))):
        raise WrongRequest("This is no e-mail address.")
    check_text(address)
    fields = {"encrypted_address": encrypt(address), "recorded_by": actor.name[:150]}
    contact, _ = Contact.objects.get_or_create(
        subject=subject,
        kind=kind,
        digest=keyed_hash("contact", address.casefold()),
        defaults=fields | {"recorded_at": now or database_now()},
    )
    return contact


def verify_by_hand(
    reference: str, actor: Actor, reason: str, customer_id: str = "", now: datetime | None = None
) -> SubjectRequest:
    """Record that staff verified who asks, and how; with the customer id, if the request came without. Raises
    RequestError.
    """
    how = required(reason, "how the customer was verified")
    return _verified(reference, Verification.STAFF, actor, how, customer_id, now)


def attest(reference: str, actor: Actor, now: datetime | None = None) -> SubjectRequest:
    """Record that the shop has verified the customer. Raises RequestError."""
    return _verified(reference, Verification.ATTESTED, actor, "", "", now)


def issue_code(reference: str, contact: Contact, now: datetime | None = None) -> str:
    """A new code for a contact, in place of an earlier one. It can't be shown again. Raises RequestError."""
    code = "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS))
    with change_of(reference, now) as change:
        request = change.request
        if request.state not in UNVERIFIED:
            raise WrongRequest("The request is verified, or has ended: it needs no code.")
        if request.codes.count() >= MAX_CODES:
            raise WrongRequest(f"{MAX_CODES} codes were sent for this request: verify it by hand.")
        change.pause()
        change.add(Action.ASK_FOR_CODE, SYSTEM, contact=contact.kind)
        request.codes.filter(current=True).update(current=False)
        VerificationCode.objects.create(
            request=request,
            contact=contact,
            digest=_digest(reference, code),
            issued_at=change.at,
            expires_at=change.at + CODE_LIFETIME,
        )
    return code


def confirm_code(reference: str, code: str, now: datetime | None = None) -> SubjectRequest:
    """Verify a request by the code that was sent. Raises WrongCode, with one text for whatever is wrong.

    The attempt is counted, and committed, before the code is compared: attempts at once can't pass the limit.
    """
    at = now or database_now()
    current = VerificationCode.objects.filter(request__reference=reference, current=True, attempts__lt=MAX_ATTEMPTS)
    counted = current.filter(expires_at__gt=at).update(attempts=F("attempts") + 1)
    found = VerificationCode.objects.filter(request__reference=reference, current=True).first()
    digest = found.digest if found else ""
    if not hmac.compare_digest(digest, _digest(reference, code)) or not counted or found is None:
        raise WrongCode(WRONG)
    try:
        return _verified(reference, Verification.CODE, CUSTOMER, "", "", now, partial(_use, found.pk))
    except (WrongRequest, UnknownRequest) as error:
        raise WrongCode(WRONG) from error


def _use(code: int, change: Change) -> None:
    """Use a code up. Raises WrongCode if it was used or replaced meanwhile."""
    if not VerificationCode.objects.filter(pk=code, current=True).update(current=False):
        raise WrongCode(WRONG)


def _digest(reference: str, code: str) -> str:
    return keyed_hash("code", f"{reference}\0{''.join(code.split())}")


def _verified(
    reference: str,
    verification: str,
    actor: Actor,
    reason: str,
    customer_id: str,
    now: datetime | None,
    first: Callable[[Change], None] = lambda _: None,
) -> SubjectRequest:
    """Verify a request, and let it or its duplicate proceed. ``first``: what the same transaction does before."""
    found = SubjectRequest.objects.filter(reference=reference).first()
    if found is None:
        raise UnknownRequest("No such request.")
    subject = _subject(customer_id) if customer_id else found.subject
    if not subject:
        raise NoReason("State the customer id: nothing can be done for a request without one.")
    if found.customer_id and customer_id and customer_id != found.customer_id:
        raise WrongRequest("The request names another customer: record a new request for this one.")
    key = duplicate_key(found, subject)
    for attempt in range(RETRIES):
        try:
            with change_of(reference, now, key) as change:
                first(change)
                request = change.request
                request.customer_id, request.subject = customer_id or request.customer_id, subject
                request.duplicate_key = key
                proceed_or_link(change, verification, actor, reason)
                return request
        except IntegrityError:  # a duplicate that this transaction could not see was verified at the same time
            if attempt == RETRIES - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def lapse_unverified(now: datetime | None = None) -> int:
    """End the requests that nobody verified in 30 days; their number."""
    before = (now or database_now()) - LAPSE_AFTER
    old = SubjectRequest.objects.filter(state__in=UNVERIFIED, received_at__lt=before)
    ended = 0
    for reference in old.values_list("reference", flat=True)[:1000]:
        with change_of(reference, now) as change:
            if change.request.state in UNVERIFIED:
                change.request.paused_at = None
                change.add(Action.LAPSE, SYSTEM, f"not verified in {LAPSE_AFTER.days} days")
                ended += 1
    return ended


def prune_codes(now: datetime | None = None) -> int:
    """Delete the codes that expired a day ago, but for those of requests that still need their number."""
    old = VerificationCode.objects.filter(expires_at__lt=(now or database_now()) - timedelta(days=1))
    with transaction.atomic():
        return old.exclude(request__state__in=[State.RECEIVED, State.AWAITING_VERIFICATION]).delete()[0]


def _subject(customer_id: str) -> str:
    try:
        return subject_of_customer(customer_id)
    except IdentifierError as error:
        raise WrongRequest(f"{error}.") from None
