"""Duplicates: of several requests of a customer for the same, the first that is verified proceeds.

Whichever came first, the others are linked to it and end. It is due when the earliest verified one of them would be.
"""

from django.db.models import Q, QuerySet

from featurestore.requests.actors import SYSTEM, Actor
from featurestore.requests.contact_box import keyed_hash
from featurestore.requests.due_dates import due_at
from featurestore.requests.models import CustomerMessage, RequestType, SubjectRequest
from featurestore.requests.services import messages
from featurestore.requests.services.timeline import Change
from featurestore.requests.states import UNVERIFIED, WORKED_ON, Action, State


def duplicate_key(request: SubjectRequest, subject: str) -> str:
    """What duplicates of a request of this subject have in common: subject, type and purposes; "" if it has none.

    Two rectifications may concern different values, and of a request without a customer nothing is known.
    """
    if not subject or request.type == RequestType.RECTIFICATION:
        return ""
    return keyed_hash("duplicate", "\0".join([subject, request.type, *request.purposes]))


def proceed_or_link(change: Change, verification: str, actor: Actor, reason: str) -> None:
    """Verify a request: it proceeds, and unverified duplicates are linked to it; or it is linked to the one that does.

    Must be called in a transaction that has locked the request and its duplicates. Where two are verified that neither
    transaction sees of the other, a constraint refuses one: its caller tries again, and links.
    """
    request = change.request
    change.resume()
    request.verified_at, request.verified_by = change.at, verification
    proceeding = _of(request).filter(state__in=WORKED_ON).first()
    if proceeding is not None:
        request.duplicate_of = proceeding
        change.add(Action.LINK, actor, reason, verified=verification, other=proceeding.reference)
        messages.queue(change, CustomerMessage.Kind.ACKNOWLEDGEMENT)
        bring_forward(Change(proceeding, change.at), request)
        return
    change.add(Action.VERIFY, actor, reason, verified=verification)
    messages.queue(change, CustomerMessage.Kind.ACKNOWLEDGEMENT)
    for other in _of(request).filter(state__in=UNVERIFIED).order_by("pk"):
        link_unverified(other, request, change)


def link_unverified(other: SubjectRequest, request: SubjectRequest, change: Change) -> None:
    """Link a request that nobody verified to its duplicate, which proceeds."""
    other.duplicate_of = request
    later = Change(other, change.at)
    later.resume()
    later.add(Action.LINK, SYSTEM, other=request.reference)


def bring_forward(change: Change, duplicate: SubjectRequest) -> None:
    """Have a request due at the due date of a duplicate, if that is earlier."""
    request = change.request
    earlier = request.due_at - due_at(duplicate)
    if earlier.total_seconds() > 0:
        request.brought_forward += earlier
        request.due_at -= earlier
    request.save(update_fields=["brought_forward", "due_at"])


def let_duplicate_proceed(request: SubjectRequest, change: Change) -> SubjectRequest | None:
    """The verified duplicate of a withdrawn request that proceeds now, if there is one; others are linked to it."""
    verified = request.duplicates.filter(state=State.DUPLICATE, verified_at__isnull=False)
    successor = verified.order_by("verified_at", "pk").first()
    if successor is None:
        return None
    successor.duplicate_of, successor.ended_at = None, None
    Change(successor, change.at).add(Action.PROCEED, SYSTEM, other=request.reference)
    for other in request.duplicates.filter(state=State.DUPLICATE).exclude(pk=successor.pk):
        other.duplicate_of = successor
        other.save(update_fields=["duplicate_of"])
        if other.verified_at:
            bring_forward(Change(successor, change.at), other)
    return successor


def _of(request: SubjectRequest) -> QuerySet[SubjectRequest]:
    """The other requests with the same duplicate key."""
    if not request.duplicate_key:
        return SubjectRequest.objects.none()
    return SubjectRequest.objects.filter(~Q(pk=request.pk), duplicate_key=request.duplicate_key)
