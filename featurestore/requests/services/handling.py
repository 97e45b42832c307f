"""Handling of verified requests: assign, wait for the customer, extend, refuse, answer, close; and withdrawal."""

from datetime import datetime, timedelta

from django.contrib.auth.models import User

from featurestore.config import settings
from featurestore.requests.actors import Actor
from featurestore.requests.due_dates import due_at
from featurestore.requests.errors import NoReason, NotExtendable, NotPossible, SecondPersonNeeded, WrongRequest
from featurestore.requests.models import CustomerMessage, RequestType, SubjectRequest
from featurestore.requests.services import messages
from featurestore.requests.services.duplicates import let_duplicate_proceed
from featurestore.requests.services.timeline import change_of, required
from featurestore.requests.states import ERASING_EVENT, UNVERIFIED, Action, State

Ground, Kind = SubjectRequest.Ground, CustomerMessage.Kind


def assign(
    reference: str, staff_member: User | None, actor: Actor, reason: str = "", now: datetime | None = None
) -> SubjectRequest:
    """Assign a request to a staff member; with None, to nobody. Raises RequestError."""
    if staff_member is not None and not (staff_member.is_active and staff_member.is_staff):
        raise WrongRequest("Only active staff can be assigned a request.")
    with change_of(reference, now) as change:
        change.request.assignee = staff_member
        change.add(Action.ASSIGN, actor, reason, assignee=staff_member.get_username() if staff_member else "")
        return change.request


def wait_for_customer(reference: str, actor: Actor, reason: str, now: datetime | None = None) -> SubjectRequest:
    """Wait for what the customer must answer. Where the regime allows it, the clock stands still meanwhile."""
    why = required(reason, "what the customer must answer")
    with change_of(reference, now) as change:
        _refuse_if_erasing(change.request)
        change.pause()
        change.add(Action.WAIT, actor, why, paused=change.request.paused_at is not None)
        return change.request


def continue_work(reference: str, actor: Actor, reason: str = "", now: datetime | None = None) -> SubjectRequest:
    """Continue after the customer's answer: the clock runs on from where it stood."""
    with change_of(reference, now) as change:
        change.resume()
        change.add(Action.CONTINUE, actor, reason)
        return change.request


def extend(reference: str, actor: Actor, reason: str, now: datetime | None = None) -> SubjectRequest:
    """Extend the time for the answer, once, before it is due. Raises NotExtendable."""
    why = required(reason, "why the request needs more time: the customer is told")
    with change_of(reference, now) as change:
        request = change.request
        if request.rule.extension is None:
            raise NotExtendable(f"{request.regime.title} knows no extension of such a request.")
        if request.extended_at is not None:
            raise NotExtendable("The request was extended before: once is all that the law allows.")
        if request.paused_at is None and change.at >= request.due_at:
            raise NotExtendable("The request is overdue: an extension must be told before the due date.")
        request.extended_at = change.at
        request.due_at = due_at(request)
        change.add(Action.EXTEND, actor, why)
        messages.queue(change, Kind.EXTENSION, reason=why)
        return request


def refuse(reference: str, actor: Actor, ground: str, reason: str, now: datetime | None = None) -> SubjectRequest:
    """Refuse a request on a legal ground. Where two persons must, this proposes it, and ``approve_refusal`` refuses.

    A request that nobody verified is refused by one person, since there is nothing to lose for anybody.
    """
    why = required(reason, "why this ground applies: the customer is told")
    if ground not in Ground.values:
        raise NoReason("State the legal ground of the refusal.")
    with change_of(reference, now) as change:
        request = change.request
        _refuse_if_erasing(request)
        request.ground = ground
        if settings().refusals_need_approval and request.state not in UNVERIFIED:
            request.proposed_by = actor.name
            change.add(Action.PROPOSE_REFUSAL, actor, why, ground=ground)
            return request
        change.resume()
        change.add(Action.REFUSE, actor, why, ground=ground)
        messages.queue(change, Kind.REFUSAL, reason=why)
        return request


def approve_refusal(reference: str, actor: Actor, reason: str = "", now: datetime | None = None) -> SubjectRequest:
    """Refuse as it was proposed by somebody else. Raises SecondPersonNeeded."""
    with change_of(reference, now) as change:
        request = change.request
        if request.state != State.TO_APPROVE:
            raise NotPossible("No refusal of this request waits to be approved.")
        if request.proposed_by == actor.name:
            raise SecondPersonNeeded("You proposed this refusal: another person must approve it.")
        proposals = request.events.filter(kind=Action.PROPOSE_REFUSAL).order_by("-number")
        why = reason.strip() or proposals.values_list("reason", flat=True)[0]
        change.resume()
        change.add(Action.REFUSE, actor, why, ground=request.ground, proposed_by=request.proposed_by)
        messages.queue(change, Kind.REFUSAL, reason=why)
        return request


def return_refusal(reference: str, actor: Actor, reason: str, now: datetime | None = None) -> SubjectRequest:
    """Return a proposed refusal: work on the request continues."""
    why = required(reason, "why it is not approved")
    with change_of(reference, now) as change:
        change.request.ground = change.request.proposed_by = ""
        change.add(Action.RETURN, actor, why)
        return change.request


def close(reference: str, actor: Actor, reason: str = "", now: datetime | None = None) -> SubjectRequest:
    """Close an answered request: nothing is left to do."""
    with change_of(reference, now) as change:
        if change.request.type == RequestType.ERASURE:
            raise NotPossible(
                "An erasure is closed by itself, when every location was erased and proven: see its page."
            )
        change.add(Action.CLOSE, actor, reason)
        return change.request


def withdraw(reference: str, actor: Actor, reason: str, now: datetime | None = None) -> SubjectRequest:
    """Record that the customer withdrew the request. A verified duplicate of it proceeds."""
    why = required(reason, "how the customer withdrew it")
    with change_of(reference, now) as change:
        _refuse_if_erasing(change.request)
        change.resume()
        change.add(Action.WITHDRAW, actor, why)
        let_duplicate_proceed(change.request, change)
        return change.request


def _refuse_if_erasing(request: SubjectRequest) -> None:
    """Raises NotPossible, if the erasure that it asks for was started."""
    if request.events.filter(kind=ERASING_EVENT).exists():
        raise NotPossible("The erasure has started, and can't be undone: the request ends with it.")


def remaining(request: SubjectRequest, at: datetime) -> timedelta:
    """Time until a request is due; while its clock is paused, what is left when it runs on. Below 0: overdue."""
    return request.due_at - (request.paused_at or at)
