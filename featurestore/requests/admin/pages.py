"""The actions on one request as data: page, form, who may, and the service that acts."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from django import forms

from featurestore.clock import database_now
from featurestore.consent.permission_derivation import Decision
from featurestore.requests import selectors, services
from featurestore.requests.actors import Actor
from featurestore.requests.admin.forms import (
    AnswerForm,
    AssignForm,
    ContactForm,
    ExtendForm,
    OptionalReasonForm,
    ReasonForm,
    RefuseForm,
    VerifyForm,
)
from featurestore.requests.answer_texts import proposed_answer
from featurestore.requests.due_dates import last_day
from featurestore.requests.models import CustomerMessage, SubjectRequest
from featurestore.requests.services.preview import extended, obstacle
from featurestore.requests.states import ENDED, Action, State

Answers = Mapping[str, Any]
ANSWER, INTAKE, APPROVE = "change", "add", "approve"
"""Permissions on requests: to work on them, to take them in, to approve a refusal."""


class RequestPage(NamedTuple):
    """An action on a request. ``act`` returns a warning, or "". ``message``: the kind that the customer gets, which is
    shown before. ``action``: what the state must allow; None: always.
    """

    name: str
    title: str
    button: str
    lead: str
    permission: str
    action: Action | None
    form: type[forms.Form]
    act: Callable[[SubjectRequest, Actor, Answers], str]
    done: str
    danger: bool = False
    message: str = ""


def _verify(request: SubjectRequest, actor: Actor, answers: Answers) -> str:
    found = services.verify_by_hand(request.reference, actor, answers["reason"], answers.get("customer_id", ""))
    if found.duplicate_of:
        return f"It is a duplicate of {found.duplicate_of.reference}, which proceeds: it is answered with that one."
    return ""


def _assign(request: SubjectRequest, actor: Actor, answers: Answers) -> str:
    services.assign(request.reference, answers["assignee"], actor, answers["reason"])
    return ""


def _contact(request: SubjectRequest, actor: Actor, answers: Answers) -> str:
    services.record_contact(request.customer_id, answers["kind"], answers["address"], actor)
    services.ask_for_code(request.reference)
    return ""


def _wait(request: SubjectRequest, actor: Actor, answers: Answers) -> str:
    found = services.wait_for_customer(request.reference, actor, answers["reason"])
    if found.paused_at is None:
        return f"{found.regime.title} does not let the clock stand still: it is due as before."
    return ""


def _by_reason(service: Callable[..., Any]) -> Callable[[SubjectRequest, Actor, Answers], str]:
    def act(request: SubjectRequest, actor: Actor, answers: Answers) -> str:
        service(request.reference, actor, answers["reason"])
        return ""

    return act


def _refuse(request: SubjectRequest, actor: Actor, answers: Answers) -> str:
    found = services.refuse(request.reference, actor, answers["ground"], answers["reason"])
    return "It waits for another person, who approves it." if found.proposed_by else ""


def _answer(request: SubjectRequest, actor: Actor, answers: Answers) -> str:
    found = services.answer(request.reference, actor, answers["text"], answers["done"])
    return "" if found.effective else "Recorded, and pending: the store does not obey every decision yet; it will soon."


def effect_text(request: SubjectRequest) -> str:
    """What an answer changes, in words; "" if nothing."""
    effect = services.effect_of(request)
    if effect.decision is None:
        return effect.obstacle
    verb = "Pauses" if effect.decision is Decision.PAUSED else "Ends"
    return f"{verb} {', '.join(effect.purposes) or 'no purpose'}"


def possible(request: SubjectRequest, page: RequestPage) -> bool:
    """Whether a request's state lets the action of a page be taken."""
    state = State(request.state)
    match page.name:
        case "contact":
            return bool(request.subject) and state not in ENDED
        case "approve":
            return state is State.TO_APPROVE
        case "refuse" if state is State.TO_APPROVE:
            return False
    return page.action is None or not obstacle(request, page.action, database_now())


def form_of(page: RequestPage, request: SubjectRequest, user_key: int | None) -> Callable[..., forms.Form]:
    """The form of a page, with what can be known of its entries."""
    match page.name:
        case "assign":
            first = {"assignee": request.assignee_id or user_key}
            return partial(AssignForm, people=selectors.assignable(), initial=first)
        case "verify":
            return partial(VerifyForm, known=bool(request.customer_id))
        case "answer":
            changes = effect_text(request) if services.effect_of(request).decision else ""
            return partial(AnswerForm, initial=proposed_answer(request, changes)._asdict())
    return page.form


def facts_of(request: SubjectRequest, page: RequestPage) -> list[tuple[str, str]]:
    """What the page of an action states beside its form."""
    facts = [("Request", request.reference), ("Type", request.get_type_display()), ("Regime", request.regime.title)]
    if page.name == "answer" and (effect := effect_text(request)):
        facts.append(("This answer", effect))
    if page.name == "extend" and (due_at := extended(request)):
        facts.append(("Due then", f"{last_day(request, due_at):%-d %B %Y} instead of {last_day(request):%-d %B %Y}"))
    if page.name == "approve":
        facts.append(("Legal ground", request.get_ground_display()))
        facts.append(("Proposed by", request.proposed_by))
    return facts


PAGES = [
    RequestPage(
        "verify", "Verify", "Verified", "It is known that this customer made the request. Work on it begins.",
        ANSWER, Action.VERIFY, VerifyForm, _verify, "Verified: the request is open.",
    ),
    RequestPage(
        "contact", "Add a contact", "Put on record", "Codes and answers go to it. Take it from the shop's records, "
        "never from the one who asks: whoever reads it can confirm requests of this customer.",
        ANSWER, None, ContactForm, _contact, "On record. An unverified request is sent a code.",
    ),
    RequestPage(
        "assign", "Assign", "Assign", "The person is reminded before it is due.",
        ANSWER, Action.ASSIGN, AssignForm, _assign, "Assigned.",
    ),
    RequestPage(
        "answer", "Answer", "Answer now", "Once everything is done that the request asks for. What the answer itself "
        "changes takes effect with it.",
        ANSWER, Action.ANSWER, AnswerForm, _answer, "Answered.", message=CustomerMessage.Kind.ANSWER,
    ),
    RequestPage(
        "wait", "Wait for the customer", "Wait", "The customer must answer something before the work can go on.",
        ANSWER, Action.WAIT, ReasonForm, _wait, "Waiting for the customer.",
    ),
    RequestPage(
        "continue", "Continue", "Continue", "The customer has answered: a clock that stood still runs on.",
        ANSWER, Action.CONTINUE, OptionalReasonForm, _by_reason(services.continue_work), "The work continues.",
    ),
    RequestPage(
        "extend", "Extend", "Extend", "Once, and before the due date.",
        ANSWER, Action.EXTEND, ExtendForm, _by_reason(services.extend), "Extended.",
        message=CustomerMessage.Kind.EXTENSION,
    ),
    RequestPage(
        "refuse", "Refuse", "Refuse", "On a legal ground, which the customer is told, with the right to complain.",
        ANSWER, Action.REFUSE, RefuseForm, _refuse, "Recorded.", danger=True, message=CustomerMessage.Kind.REFUSAL,
    ),
    RequestPage(
        "approve", "Approve the refusal", "Refuse", "The refusal was proposed by somebody else.",
        APPROVE, Action.REFUSE, OptionalReasonForm, _by_reason(services.approve_refusal), "Refused.", danger=True,
    ),
    RequestPage(
        "return", "Do not approve", "Return it", "The work on the request continues.",
        APPROVE, Action.RETURN, ReasonForm, _by_reason(services.return_refusal), "Returned.",
    ),
    RequestPage(
        "close", "Close", "Close", "Nothing is left to do for this request.",
        ANSWER, Action.CLOSE, OptionalReasonForm, _by_reason(services.close), "Closed.",
    ),
    RequestPage(
        "withdraw", "Withdrawn by the customer", "Withdrawn", "The customer does not ask for it any more.",
        ANSWER, Action.WITHDRAW, ReasonForm, _by_reason(services.withdraw), "Withdrawn.",
    ),
]  # fmt: skip
BY_NAME = {page.name: page for page in PAGES}
