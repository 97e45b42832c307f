"""Ends of an erasure: answered, when all that can be erased now was erased and proven; closed, when the stated times of
the rest have passed and it was proven too. What a legal hold keeps is told in the answer, and prevents the second end.
"""

from collections.abc import Iterable
from datetime import datetime

import structlog
from django.db import transaction

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append
from featurestore.locations import registry
from featurestore.requests.actors import SYSTEM
from featurestore.requests.erasure.beginning import facts_of
from featurestore.requests.erasure.certificate import certificate
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.models import CustomerMessage
from featurestore.requests.services import messages
from featurestore.requests.services.timeline import Change, change_of
from featurestore.requests.states import Action
from featurestore.requests.states import State as RequestState

State = ErasureStep.State
REQUESTS = "subject_requests"
log = structlog.get_logger(__name__)


def after_the_answer() -> set[str]:
    """The locations that are erased once the request is answered: the requests themselves, and what depends on them."""
    found: set[str] = set()
    for location in registry.in_order():
        if location.name == REQUESTS or found.intersection(location.erased_after):
            found.add(location.name)
    return found


def is_answerable(steps: Iterable[ErasureStep]) -> bool:
    """Whether every location that needs no answer was erased and looked through, or waits for its stated time, or is
    held.
    """
    later = after_the_answer()
    states = {step.state for step in steps if step.location not in later}
    return bool(states) and states <= {State.CHECKED, State.WAITS, State.HELD}


def is_closable(steps: Iterable[ErasureStep]) -> bool:
    """Whether nothing is left to wait for."""
    return {step.state for step in steps} == {State.CHECKED}


def answer(erasure: Erasure, at: datetime) -> None:
    """Record that the erasure is answered, and write the answer to the request."""
    with transaction.atomic():
        if erasure.request:
            with change_of(erasure.request.reference, at) as change:
                _continue_if_waiting(change)
                steps = list(erasure.steps.all())
                held = sorted(step.location for step in steps if step.state == State.HELD)
                waiting = {step.location: _date(step) for step in steps if step.state == State.WAITS}
                request = change.request
                request.answered_at = change.at
                text = certificate(steps, request.language)
                request.answer = text
                change.add(Action.ANSWER, SYSTEM, "erased and proven", held=held, waiting=waiting)
                messages.queue(change, CustomerMessage.Kind.ANSWER, answer=text)
        states = {step.location: str(step.state) for step in erasure.steps.all()}
        append(Entry("erasure.answered", at, facts_of(erasure) | {"locations": states}, "system"))
        _advance(erasure, Erasure.State.ERASING, state=Erasure.State.ANSWERED, answered_at=at, changed_at=at)
    log.info("erasure answered", erasure=erasure.pk)


def close(erasure: Erasure, at: datetime) -> None:
    """Record that nothing is left anywhere, and forget whom it was about."""
    with transaction.atomic():
        if erasure.request:
            with change_of(erasure.request.reference, at) as change:
                if change.request.state == RequestState.ANSWERED:
                    change.request.answer = certificate(list(erasure.steps.all()), change.request.language)
                    change.add(Action.CLOSE, SYSTEM, "every location was erased and proven")
        append(Entry("erasure.closed", at, facts_of(erasure), "system"))
        _advance(
            erasure, Erasure.State.ANSWERED, state=Erasure.State.CLOSED, closed_at=at, changed_at=at,
            encrypted_person="",
            person_digest="", customer_key=None, waiting_for="",
        )  # fmt: skip
    log.info("erasure closed", erasure=erasure.pk)


def _continue_if_waiting(change: Change) -> None:
    """Continue a request that waits for the customer, or for an approval of its refusal: its erasure has been done."""
    if change.request.state == RequestState.WAITING:
        change.resume()
        change.add(Action.CONTINUE, SYSTEM, "the erasure was carried out meanwhile")
    elif change.request.state == RequestState.TO_APPROVE:
        change.request.ground = change.request.proposed_by = ""
        change.add(Action.RETURN, SYSTEM, "the erasure was carried out meanwhile")


def _advance(erasure: Erasure, before: str, **fields: object) -> None:
    Erasure.objects.filter(pk=erasure.pk, state=before).update(**fields)
    erasure.refresh_from_db()


def _date(step: ErasureStep) -> str:
    return step.gone_at.date().isoformat() if step.gone_at else ""
