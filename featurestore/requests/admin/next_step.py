"""Next step of a request: what must be done now, in one sentence, with the button that does it."""

from collections.abc import Mapping
from typing import NamedTuple

from django.http import HttpRequest
from django.urls import reverse

from featurestore.requests.admin.addresses import named
from featurestore.requests.erasure.models import Erasure
from featurestore.requests.erasure.progress import Progress
from featurestore.requests.export.handover import handed_over
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.next_step import next_text
from featurestore.requests.export.services.starts import EXPORTED
from featurestore.requests.export.states import OPEN, SENT, ExportState
from featurestore.requests.models import RequestType, SubjectRequest
from featurestore.requests.services import effect_of
from featurestore.requests.states import ENDED, UNVERIFIED, State

START_EXPORT = "Export the data", "admin:exports_dataexport_start", "exports.add_dataexport"
START_ERASURE = "Start the erasure", "admin:erasure_erasure_start", "erasure.run_erasure"
HAND_OVER = "Hand over yourself what its page says, then answer the request."
SEE_EXPORT, SEE_ERASURE = "exports.view_dataexport", "erasure.view_erasure"
ENDED_TEXTS = {
    State.CLOSED: "Nothing is left to do.",
    State.REFUSED: "It is refused. Nothing is left to do.",
    State.WITHDRAWN: "The customer withdrew it. Nothing is left to do.",
    State.DUPLICATE: "It is answered with another request of the same customer.",
    State.LAPSED: "Nobody verified it in time. The customer may ask again.",
}


class Button(NamedTuple):
    """A button that does the next step. ``page``: the name of the request's page it leads to; "": another one."""

    title: str
    address: str
    page: str = ""


class NextStep(NamedTuple):
    """What must be done now. Without a button the user can do nothing, or nothing is to be done."""

    text: str
    buttons: list[Button]

    @property
    def pages(self) -> set[str]:
        return {button.page for button in self.buttons}


def next_step(
    http: HttpRequest, row: SubjectRequest, pages: Mapping[str, Button], progress: Progress | None
) -> NextStep:
    """The next step of a request. ``pages``: what the user may do, by name. ``progress``: of its erasure."""
    state = State(row.state)
    if state in UNVERIFIED:
        return _by(pages, "verify", "Make sure that this customer made the request. Nothing may be done before.")
    match state:
        case State.WAITING:
            return _by(pages, "continue", "It waits for the customer. Continue once the customer has answered.")
        case State.TO_APPROVE:
            text = f"{row.proposed_by} proposed to refuse it. Another person approves that, or returns it."
            return NextStep(text, [pages[name] for name in ("approve", "return") if name in pages])
        case State.ANSWERED | State.CLOSED if progress:
            return NextStep(progress.next, [])
        case State.ANSWERED:
            return _by(pages, "close", "It is answered. Close it once nothing is left to do.")
        case State.OPEN | State.IN_PROGRESS:
            return _work(http, row, pages, progress)
    return NextStep(ENDED_TEXTS[state], [])


def _work(http: HttpRequest, row: SubjectRequest, pages: Mapping[str, Button], progress: Progress | None) -> NextStep:
    """The next step of a request that is worked on, by what it asks for."""
    if row.type == RequestType.ERASURE:
        if progress:
            return NextStep(progress.next, [])
        return _start(http, row, START_ERASURE, "Start the erasure, unless something speaks against it.")
    if row.type in EXPORTED:
        return _export(http, row, pages)
    if effect_of(row).decision is not None:
        return _by(pages, "answer", "Answer it: the answer itself carries out what the customer asks for.")
    return _by(pages, "answer", "Do what the customer asks for, then answer.")


def _export(http: HttpRequest, row: SubjectRequest, pages: Mapping[str, Button]) -> NextStep:
    export: DataExport | None = row.exports.first()
    if export is None or ExportState(export.state) not in OPEN | {ExportState.DOWNLOADED}:
        ended = f"The last export was {export.get_state_display().lower()}. " if export else ""
        return _start(http, row, START_EXPORT, f"{ended}Export what is held about the customer.")
    opened = []
    if http.user.has_perm(SEE_EXPORT):
        address = reverse("admin:exports_dataexport_change", args=[export.pk])
        opened = [Button("Review the export" if export.state == ExportState.IN_REVIEW else "Open the export", address)]
    if export.state not in SENT:
        return NextStep(next_text(export), opened)
    step = _by(pages, "answer", f"{next_text(export)} Answer the request.")
    if any(one.by_hand for one in handed_over(export)):
        return NextStep(f"{next_text(export)} {HAND_OVER}", opened + step.buttons)
    return step


def _by(pages: Mapping[str, Button], name: str, text: str) -> NextStep:
    return NextStep(text, [pages[name]] if name in pages else [])


def _start(http: HttpRequest, row: SubjectRequest, what: tuple[str, str, str], text: str) -> NextStep:
    title, address, permission = what
    if not http.user.has_perm(permission):
        return NextStep(f"{text} Your role does not allow that: a privacy officer does it.", [])
    return NextStep(text, [Button(title, named(reverse(address), row))])


def erasure_of(row: SubjectRequest) -> Erasure | None:
    """The erasure of a request, with its steps."""
    return Erasure.objects.filter(request=row).prefetch_related("steps").first()


def hold_link(http: HttpRequest, row: SubjectRequest) -> str:
    """The page that places a legal hold on the rows of who asks for an erasure; "" where that is of no use."""
    useful = row.type == RequestType.ERASURE and row.subject and State(row.state) not in ENDED
    may = http.user.has_perm("customers.add_legalhold") and http.user.has_perm("customers.view_customer")
    return named(reverse("admin:customers_legalhold_place"), row) if useful and may else ""
