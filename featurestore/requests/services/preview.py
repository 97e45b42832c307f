"""Previews: what an action would do to a request, without doing it."""

from datetime import datetime

from featurestore.requests.due_dates import due_at
from featurestore.requests.message_texts import Text, text_of
from featurestore.requests.models import CustomerMessage, RequestType, SubjectRequest
from featurestore.requests.states import ERASING_EVENT, Action, State, allowed

Kind = CustomerMessage.Kind


def extended(request: SubjectRequest) -> datetime | None:
    """The due date after an extension; None if it can't be extended (any more)."""
    if request.extended_at is not None or request.rule.extension is None:
        return None
    as_if = SubjectRequest.objects.select_related("regime", "rule").get(pk=request.pk)
    as_if.extended_at = as_if.changed_at
    return due_at(as_if)


def message_text(request: SubjectRequest, kind: str, **facts: str) -> Text:
    """The message that an action would send. ``facts``: as of ``text_of``, and the ground of a refusal."""
    as_if = SubjectRequest.objects.select_related("regime", "rule", "duplicate_of").get(pk=request.pk)
    as_if.ground = facts.get("ground", as_if.ground)
    if kind == Kind.EXTENSION and (later := extended(as_if)):
        as_if.due_at = later
    return text_of(as_if, kind, **facts)


def obstacle(request: SubjectRequest, action: Action, now: datetime) -> str:
    """Why an action would be refused; "" if it would not."""
    if not allowed(State(request.state), action):
        return f"is {request.get_state_display().lower()}"
    if request.type == RequestType.ERASURE and action in (Action.ANSWER, Action.CLOSE):
        return "is answered and closed by its erasure"
    if action in (Action.WAIT, Action.REFUSE, Action.WITHDRAW) and request.events.filter(kind=ERASING_EVENT).exists():
        return "is being erased"
    if action is Action.EXTEND:
        if extended(request) is None:
            return "can't be extended, or was extended before"
        if request.paused_at is None and now >= request.due_at:
            return "is overdue"
    return ""
