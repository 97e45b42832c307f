"""Codes that prove that the customer reads a contact on record. Made when sent, and stored as a hash."""

import hmac
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from featurestore.clock import database_now
from featurestore.requests.contact_box import keyed_hash
from featurestore.requests.errors import NotPossible, WrongCode
from featurestore.requests.models import Contact, VerificationCode
from featurestore.requests.services.timeline import Change, change_of
from featurestore.requests.set_backs import set_backs
from featurestore.requests.states import UNVERIFIED

CODE_DIGITS = 8
CODE_LIFETIME = timedelta(hours=1)
MAX_ATTEMPTS = 5
MAX_CODES = 5
"""Codes of one request. With 5 attempts each, a guess of 8 digits succeeds once in 4 million requests."""
WRONG = "The code is wrong, or no longer valid. Check it, or ask for a new one."


def issue(reference: str, contact: Contact, now: datetime | None = None) -> tuple[VerificationCode, str]:
    """A new code for a contact, in place of an earlier one, and its digits, which can't be shown again.

    Raises RequestError.
    """
    digits = "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS))
    at = now or database_now()
    set_backs(at)
    with change_of(reference, at) as change:
        request = change.request
        if request.state not in UNVERIFIED:
            raise NotPossible("The request is verified, or has ended: it needs no code.")
        if request.codes.count() >= MAX_CODES:
            raise NotPossible(f"{MAX_CODES} codes were sent for this request: verify it by hand.")
        request.codes.filter(current=True).update(current=False)
        code = VerificationCode.objects.create(
            request=request,
            contact=contact,
            digest=_digest(reference, digits),
            issued_at=at,
            expires_at=at + CODE_LIFETIME,
        )
    return code, digits


def take_back(code: VerificationCode) -> None:
    """Delete a code that could not be sent: it counts for nothing."""
    code.delete()


def count_attempt(reference: str, digits: str, now: datetime | None = None) -> int:
    """Count an attempt to enter a code; the key of the code's row if it is right. Raises WrongCode.

    The attempt is counted, and committed, before the code is compared: attempts at once can't pass the limit. The row
    is updated by its key alone: of a row that it waited for, PostgreSQL looks again at its own columns, not at a join.
    """
    at = now or database_now()
    set_backs(at)
    found = VerificationCode.objects.filter(request__reference=reference, current=True).first()
    digest = found.digest if found else ""
    usable = Q(attempts__lt=MAX_ATTEMPTS, expires_at__gt=at, current=True)
    row = VerificationCode.objects.filter(usable, pk=found.pk if found else 0)
    counted = row.update(attempts=F("attempts") + 1)
    if not hmac.compare_digest(digest, _digest(reference, digits)) or not counted or found is None:
        raise WrongCode(WRONG)
    return found.pk


def use(code: int, change: Change) -> None:
    """Use a code up, in the transaction that verifies. Raises WrongCode if it was used or replaced meanwhile."""
    if not VerificationCode.objects.filter(pk=code, request=change.request, current=True).update(current=False):
        raise WrongCode(WRONG)


def prune(now: datetime | None = None) -> int:
    """Delete the codes that expired a day ago, but for those of requests that still count them."""
    old = VerificationCode.objects.filter(expires_at__lt=(now or database_now()) - timedelta(days=1))
    with transaction.atomic():
        return old.exclude(request__state__in=sorted(UNVERIFIED)).delete()[0]


def _digest(reference: str, digits: str) -> str:
    return keyed_hash("code", f"{reference}\0{''.join(digits.split())}")
