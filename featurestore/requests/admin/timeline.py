"""The timeline of a request in words."""

from datetime import date, datetime
from typing import Any, NamedTuple

from featurestore.requests.due_dates import last_day
from featurestore.requests.export.states import ExportAction
from featurestore.requests.models import Contact, CustomerMessage, RequestEvent, SubjectRequest
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
EXPORT_TITLES = {
    ExportAction.START: "Export started",
    ExportAction.COLLECTED: "Export collected, to be reviewed",
    ExportAction.REDACT: "Withheld from the export",
    ExportAction.KEEP: "Put back into the export",
    ExportAction.PROPOSE: "Release of the export proposed",
    ExportAction.RETURN: "Export returned to review",
    ExportAction.RELEASE: "Export released",
    ExportAction.PACKED: "Package of the export ready",
    ExportAction.SHOW: "Link and passphrase shown",
    ExportAction.DOWNLOAD: "Package downloaded",
    ExportAction.EXPIRE: "Export expired",
    ExportAction.CANCEL: "Export cancelled",
    ExportAction.FAIL: "Export failed",
}
ROLES = {RequestEvent.Role.CUSTOMER: "the customer", RequestEvent.Role.SYSTEM: "Rapport"}


MESSAGES = {value: label.lower() for value, label in CustomerMessage.Kind.choices}
CHANNELS = {
    SubjectRequest.Channel.API: "by the API",
    SubjectRequest.Channel.STAFF: "by staff",
    SubjectRequest.Channel.FORM: "by the form",
}
VERIFIED = {value: label.lower() for value, label in SubjectRequest.Verification.choices}
WAYS = {Contact.Kind.EMAIL: "e-mail", Contact.Kind.WEBHOOK: "the shop's webhook"}


class Line(NamedTuple):
    """One event of a timeline in words."""

    kind: str
    at: datetime
    title: str
    about: str
    reason: str
    who: str
    due: date | None


def timeline_of(request: SubjectRequest) -> list[Line]:
    """The events of a request, the newest first. ``due`` of a line: the last day, where the event changed it."""
    lines: list[Line] = []
    due_at = None
    for event in request.events.order_by("number"):
        changed = event.due_at if event.due_at != due_at else None
        due_at = event.due_at
        title = TITLES.get(event.kind) or EXPORT_TITLES.get(event.kind) or event.kind  # type: ignore[call-overload]
        due = last_day(request, changed) if changed else None
        lines.append(Line(event.kind, event.at, title, _about(event.detail), event.reason, _who(event), due))
    return lines[::-1]


def _who(event: RequestEvent) -> str:
    if event.role == RequestEvent.Role.CLIENT:
        return f"API client {event.actor}"
    return ROLES.get(event.role) or event.actor  # type: ignore[call-overload]  # a stored role


def _about(detail: dict[str, Any]) -> str:
    """What is worth reading of an event's details.

    >>> _about({"verified": "code"}), _about({"assignee": ""}), _about({"message": "answer", "via": "email"})
    ('by a code', 'to nobody', 'answer by e-mail')
    """
    parts = []
    if "channel" in detail:
        parts.append(f"{CHANNELS[detail['channel']]}, rule {detail['rule']}")
    if "verified" in detail:
        parts.append(VERIFIED[detail["verified"]])
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
        parts.append(MESSAGES.get(detail["message"], "") + (f" by {WAYS[detail['via']]}" if detail.get("via") else ""))
    if detail.get("category"):
        parts.append(" ".join([detail["category"], detail.get("field") or "", _item(detail.get("item"))]).strip())
    return "; ".join(parts)


def _item(number: int | None) -> str:
    """
    >>> _item(0), _item(None)
    ('item 1', '')
    """
    return "" if number is None else f"item {number + 1}"
