"""The queue's column of what is next: in as few words as the button has that does it, and without a query a row."""

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from featurestore.requests.admin.next_step import START_ERASURE, START_EXPORT
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.export.handover import KINDS
from featurestore.requests.export.services.starts import EXPORTED
from featurestore.requests.export.states import IN_WORK, OPEN, ExportState
from featurestore.requests.models import CustomerMessage, RequestType
from featurestore.requests.states import ENDED, UNVERIFIED, State

BY_ITSELF, WAITS, NOTHING = "Goes on by itself", "Waits for a server", "–"


def with_next(requests: QuerySet[Any]) -> QuerySet[Any]:
    """Requests with what ``next_title`` needs beside their erasure."""
    steps = ErasureStep.objects.filter(erasure__request=OuterRef("pk"))
    by_hand = CustomerMessage.objects.filter(
        request=OuterRef("pk"), kind__in=KINDS, state__in=(CustomerMessage.State.BY_HAND, CustomerMessage.State.FAILED)
    )
    return requests.prefetch_related("exports").annotate(
        is_hindered=Exists(steps.filter(state=ErasureStep.State.UNAVAILABLE)),
        is_held=Exists(steps.filter(state=ErasureStep.State.HELD)),
        is_by_hand=Exists(by_hand),
    )


def next_title(row: Any) -> str:
    """What is next for a request of ``with_next``."""
    erasure: Erasure | None = getattr(row, "erasure", None)
    state = State(row.state)
    if state in ENDED:
        return NOTHING
    if erasure is not None and state in (State.OPEN, State.IN_PROGRESS, State.ANSWERED):
        return _erasure(row, erasure)
    match state:
        case State.WAITING:
            return "The customer's answer"
        case State.TO_APPROVE:
            return "Approve the refusal"
        case State.ANSWERED:
            return "Close"
        case State.OPEN | State.IN_PROGRESS if row.type == RequestType.ERASURE:
            return START_ERASURE[0]
        case State.OPEN | State.IN_PROGRESS if row.type in EXPORTED:
            return _export(row)
    return "Verify" if state in UNVERIFIED else "Answer"


def _erasure(row: Any, erasure: Erasure) -> str:
    if row.is_hindered or erasure.waiting_for:
        return WAITS
    return "Release the hold" if row.is_held and erasure.state == Erasure.State.ANSWERED else BY_ITSELF


def _export(row: Any) -> str:
    export = next(iter(row.exports.all()), None)
    if export is None or export.state not in OPEN | {ExportState.DOWNLOADED}:
        return START_EXPORT[0]
    if export.state in IN_WORK:
        return WAITS if export.waiting_for else BY_ITSELF
    match export.state:
        case ExportState.IN_REVIEW:
            return "Review the export"
        case ExportState.TO_RELEASE:
            return "Release the export"
    return "Hand over, answer" if row.is_by_hand else "Answer"
