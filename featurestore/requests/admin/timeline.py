"""The timeline of a request in words."""

from datetime import datetime
from typing import Any, NamedTuple

from featurestore.requests.models import CustomerMessage, RequestEvent, SubjectRequest
from featurestore.requests.states import ERASING_EVENT, Action

TITLES = {
    Action.RECEIVE: "Received",
    Action.ASK_FOR_CODE: "Code requested",
    Action.VERIFY: "Verified",
    Action.LINK: "Linked as a duplicate",
    Action.PROCEED: "Proceeds",
    Action.ASSIGN: "Assigned",
    Action.WAIT: "Waits for the customer",
    Action.CONTINUE: "Continued",
    Action.EXTEND: "Extended",
    Action.PROPOSE_REFUSAL: "Refusal proposed",
    Action.RETURN: "Refusal not approved",
    Action.REFUSE: "Refused",
    Action.ANSWER: "Answered",
    Action.CLOSE: "Closed",
    Action.WITHDRAW: "Withdrawn",
    Action.LAPSE: "Lapsed",
    ERASING_EVENT: "Erasure started",
    f"message_{CustomerMessage.State.SENT}": "Message sent",
    f"message_{CustomerMessage.State.FAILED}": "Message not delivered",
    f"message_{CustomerMessage.State.BY_HAND}": "Message to be sent by hand",
    f"message_{CustomerMessage.State.CANCELLED}": "Message not needed any more",
}
ROLES = {RequestEvent.Role.CUSTOMER: "the customer", RequestEvent.Role.SYSTEM: "Rapport"}


class Line(NamedTuple):
    """One event of a timeline in words."""

    kind: str
    at: datetime
    title: str
    about: str
    reason: str
    who: str
    due_at: datetime | None


def timeline_of(request: SubjectRequest) -> list[Line]:
    """The events of a request, the newest first."""
    return [
        Line(event.kind, event.at, TITLES.get(event.kind, event.kind), _about(event.detail), event.reason,
             _who(event), event.due_at)
        for event in request.events.order_by("-number")
    ]  # fmt: skip


def _who(event: RequestEvent) -> str:
    if event.role == RequestEvent.Role.CLIENT:
        return f"API client {event.actor}"
    return ROLES.get(event.role) or event.actor  # type: ignore[call-overload]  # a stored role


def _about(detail: dict[str, Any]) -> str:
    """What is worth reading of an event's details.

    >>> _about({"verified": "code"}), _about({"assignee": ""}), _about({"message": "answer", "via": "email"})
    ('by code', 'to nobody', 'answer by email')
    """
    parts = []
    if "channel" in detail:
        parts.append(f"by {detail['channel']}, rule {detail['rule']}")
    if "verified" in detail:
        parts.append(f"by {detail['verified']}")
    if "other" in detail:
        parts.append(f"with {detail['other']}")
    if "assignee" in detail:
        parts.append(f"to {detail['assignee'] or 'nobody'}")
    if "paused" in detail:
        parts.append("the clock stands still" if detail["paused"] else "the clock runs on")
    if "ground" in detail:
        parts.append(str(detail["ground"]).replace("_", " "))
    if detail.get("purposes"):
        parts.append(f"purposes {', '.join(detail['purposes'])}")
    if "message" in detail:
        parts.append(detail["message"] + (f" by {detail['via']}" if detail.get("via") else ""))
    return "; ".join(parts)
