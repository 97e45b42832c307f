"""Answers. Of a restriction, objection or opt-out the answer carries it out: its decisions on consent, the state and
the event are one transaction, so that no request says "done" of what was not.
"""

from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from featurestore.clock import database_now
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.models import ConsentRecord, Purpose
from featurestore.consent.permission_derivation import Basis, Decision
from featurestore.consent.services import Choice, RecordedDecision, publish_written, purposes_to_pause, write_decisions
from featurestore.customers.selectors import find_customers
from featurestore.identity import IdentifierError
from featurestore.requests.actors import Actor
from featurestore.requests.errors import NotPossible
from featurestore.requests.models import CustomerMessage, RequestType, SubjectRequest
from featurestore.requests.services import messages
from featurestore.requests.services.timeline import change_of, check_allowed, check_text, required
from featurestore.requests.states import Action

MAX_ANSWER_LENGTH = 8000
Channel, Method = SubjectRequest.Channel, ConsentRecord.Method
METHODS = {Channel.API: Method.API, Channel.STAFF: Method.ADMIN, Channel.FORM: Method.WEB}
DECIDABLE = {
    RequestType.OBJECTION: (Basis.LEGITIMATE_INTEREST,),
    RequestType.OPT_OUT: (Basis.CONSENT, Basis.LEGITIMATE_INTEREST),
}
"""Lawful bases that an objection or opt-out without named purposes concerns."""


class Effect(NamedTuple):
    """What the answer to a request changes: a decision about these purposes. ``obstacle``: why it changes nothing."""

    decision: Decision | None
    purposes: list[str]
    obstacle: str = ""


class Answered(NamedTuple):
    """An answered request and the decisions that it carried out."""

    request: SubjectRequest
    decisions: list[RecordedDecision]

    @property
    def effective(self) -> bool:
        """Whether the store obeys every decision; else it follows soon."""
        return all(one.effective or one.superseded for one in self.decisions)


def effect_of(request: SubjectRequest) -> Effect:
    """What the answer to a request changes, as things are."""
    type_ = RequestType(request.type)
    if type_ is not RequestType.RESTRICTION and type_ not in DECIDABLE:
        return Effect(None, [])
    if not _is_registered(request.customer_id):
        return Effect(None, [], "The customer is not registered: there is nothing to restrict or to end.")
    if type_ is RequestType.RESTRICTION:
        return Effect(Decision.PAUSED, list(request.purposes) or purposes_to_pause(request.customer_id))
    named = list(request.purposes)
    bases = Purpose.objects.filter(active=True, lawful_basis__in=DECIDABLE[type_]).order_by("name")
    return Effect(Decision.WITHDRAWN, named or list(bases.values_list("name", flat=True)))


def answer(reference: str, actor: Actor, text: str, done: str, now: datetime | None = None) -> Answered:
    """Answer a request. ``text``: for the customer; ``done``: what was done, for the timeline.

    Must not be called within a transaction, since decisions are published after the commit. Raises RequestError,
    ConsentError.
    """
    what = required(done, "what was done")
    check_text(required(text, "the answer to the customer"), MAX_ANSWER_LENGTH)
    at = now or database_now()
    with transaction.atomic(durable=True):
        if SubjectRequest.objects.filter(reference=reference, type__in=(RequestType.RESTRICTION, *DECIDABLE)).exists():
            lock_change_sequence(now)  # before the request, as by every change of consent
        with change_of(reference, at) as change:
            request = change.request
            check_allowed(request, Action.ANSWER)
            if request.type == RequestType.ERASURE:
                raise NotPossible("An erasure is answered by what was erased and proven: start it.")
            effect = effect_of(request)
            choices = _choices(request, effect, actor, at)
            written = write_decisions(choices, now) if choices else []
            request.answered_at, request.answer = change.at, text
            records = [record.sequence for _, record, _ in written]
            change.add(Action.ANSWER, actor, what, purposes=effect.purposes, consent_records=records)
            messages.queue(change, CustomerMessage.Kind.ANSWER, answer=text)
    return Answered(request, publish_written(written, now))


def _choices(request: SubjectRequest, effect: Effect, actor: Actor, at: datetime) -> list[Choice]:
    """The decisions of an effect. The customer decided when the request came, so a later decision stands."""
    if effect.decision is None:
        return []
    decided_at = None if effect.decision is Decision.PAUSED else min(request.received_at, at)
    reason, method = f"request {request.reference}", METHODS[Channel(request.channel)]
    return [
        Choice(request.customer_id, name, effect.decision, method, actor.name, None, reason, decided_at=decided_at)
        for name in effect.purposes
    ]


def _is_registered(customer_id: str) -> bool:
    try:
        return bool(customer_id and find_customers([customer_id]))
    except IdentifierError:
        return False
