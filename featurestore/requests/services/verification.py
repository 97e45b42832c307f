"""Verification of who asks: attested by the shop, by a code sent to a contact on record, or by staff."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from django.db import IntegrityError

from featurestore.clock import database_now
from featurestore.customers.selectors import subject_of_customer
from featurestore.identity import IdentifierError
from featurestore.requests.actors import CUSTOMER, SYSTEM, Actor
from featurestore.requests.contact_box import keyed_hash
from featurestore.requests.delivery.port import contact_of
from featurestore.requests.errors import NoReason, NotPossible, UnknownRequest, WrongCode, WrongRequest
from featurestore.requests.form_links import CodeLink, code_url
from featurestore.requests.models import Contact, CustomerMessage, SubjectRequest
from featurestore.requests.services import codes, messages
from featurestore.requests.services.duplicates import duplicate_key, proceed_or_link
from featurestore.requests.services.subjects import change_subject
from featurestore.requests.services.timeline import Change, change_of, check_text, required
from featurestore.requests.states import UNVERIFIED, Action

MAX_CODES_A_DAY = 10
"""Codes to the contact of one customer, whoever asks: strangers may ask in anybody's name."""
CODE_INTERVAL = timedelta(minutes=1)
REQUESTS_PER_CALL = 200
LAPSE_AFTER = timedelta(days=30)
MAX_ADDRESS_LENGTH = 320
RETRIES = 3
Verification = SubjectRequest.Verification


def record_contact(customer_id: str, kind: str, address: str, actor: Actor, now: datetime | None = None) -> Contact:
    """Put a contact of a customer on record. A repeat changes nothing. Raises WrongRequest."""
    subject, address = _subject(customer_id), address.strip()
    if kind not in Contact.Kind.values or not address or len(address) > MAX_ADDRESS_LENGTH:
        raise WrongRequest(f"A contact has a kind and an address of at most {MAX_ADDRESS_LENGTH} characters.")
    if kind == Contact.Kind.EMAIL and (address.count("@") != 1 or any(map(str.isspace, address))):
        raise WrongRequest("This is no e-mail address.")
    check_text(address)
    fields = {"address": address, "recorded_by": actor.name[:150]}
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


def ask_for_code(reference: str, now: datetime | None = None) -> None:
    """Have a code sent, if the request is not verified and a contact is on record. It does the same if not."""
    SubjectRequest.objects.filter(reference=reference, state__in=sorted(UNVERIFIED)).update(examined_at=None)


def send_codes(now: datetime | None = None) -> int:
    """Queue a code for each unverified request that was not examined since it came or asked; their number.

    Where the regime allows it, the clock stands still from here on until the customer is verified.
    """
    waiting = SubjectRequest.objects.filter(examined_at=None, state__in=sorted(UNVERIFIED)).order_by("received_at")
    queued = 0
    for reference in waiting.values_list("reference", flat=True)[:REQUESTS_PER_CALL]:
        with change_of(reference, now) as change:
            request = change.request
            if request.examined_at is None and request.state in UNVERIFIED:
                request.examined_at = change.at
                request.save(update_fields=["examined_at"])
                queued += _queue_code(change)
    return queued


def _queue_code(change: Change) -> bool:
    """Queue a code, unless there is no contact, one waits or was just sent, or too many were."""
    request, kind = change.request, CustomerMessage.Kind.CODE
    contact = contact_of(request.subject)
    recent = CustomerMessage.objects.filter(kind=kind, request__subject=request.subject)
    number = request.messages.filter(kind=kind).count()
    if (
        contact is None
        or number >= codes.MAX_CODES
        or recent.filter(created_at__gt=change.at - timedelta(days=1)).count() >= MAX_CODES_A_DAY
        or recent.filter(request=request, created_at__gt=change.at - CODE_INTERVAL).exists()
    ):
        return False
    change.pause()
    change.add(Action.ASK_FOR_CODE, SYSTEM, via=contact.kind)
    link = CodeLink(request.reference, request.language)
    messages.queue(change, kind, number=number, code_url=code_url(link, change.now + LAPSE_AFTER, change.now))
    return True


def confirm_code(reference: str, code: str, now: datetime | None = None) -> SubjectRequest:
    """Verify a request by the code that was sent. Raises WrongCode, with one text for whatever is wrong."""
    found = codes.count_attempt(reference, code, now)
    try:
        return _verified(reference, Verification.CODE, CUSTOMER, "", "", now, partial(codes.use, found))
    except (NotPossible, UnknownRequest) as error:
        raise WrongCode(codes.WRONG) from error


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
                request.customer_id = customer_id or request.customer_id
                change_subject(request, subject)
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


def _subject(customer_id: str) -> str:
    try:
        return subject_of_customer(customer_id)
    except IdentifierError as error:
        raise WrongRequest(f"{error}.") from None
