"""What waits for a decision of the user: the first line of the administration's first page."""

from typing import NamedTuple

from django.http import HttpRequest
from django.urls import reverse

from featurestore.audit import selectors as audit
from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent import selectors as consent
from featurestore.ingest import selectors as dead_letters
from featurestore.requests import selectors as requests
from featurestore.requests.erasure import selectors as erasures
from featurestore.requests.export import selectors as exports
from featurestore.requests.export.states import ExportState


class WorkItem(NamedTuple):
    """One kind of work: a number of cases, what they are in plain words, the page that lists them. ``none``: what is
    said if there is no case.
    """

    number: int
    text: str
    none: str
    link: str


class Work(NamedTuple):
    """A user's kinds of work with cases, what is due first, and a sentence about those without."""

    items: list[WorkItem]
    rest: str


def work_of(request: HttpRequest) -> Work | None:
    """The work that the user's permissions name; None if they name none."""
    kinds = _kinds(request)
    items, idle = [one for one in kinds if one.number], ", ".join(one.none for one in kinds if not one.number)
    if not idle:
        return Work(items, "") if items else None
    return Work(items, f"{'Nothing else waits' if items else 'Nothing waits for you'}: {idle}.")


def _kinds(request: HttpRequest) -> list[WorkItem]:
    may = request.user.has_perm
    items = []
    if may("requests.view_subjectrequest"):
        items += _requests(request)
    items += _exports(request)
    if may("erasure.run_erasure"):
        items.append(_hindered())
    if may("consent.add_consentrecord") and may("customers.view_customer"):
        items.append(_pauses())
    if may("consent.view_permissionchange"):
        items.append(_pending())
    if may("audit.change_finding"):
        items.append(_findings())
    if may("ingest.change_deadletter"):
        items.append(_dead_letters())
    return items


def _requests(request: HttpRequest) -> list[WorkItem]:
    """What is due of requests: of everybody's for who may answer them, else of what is assigned to the user."""
    may, queue = request.user.has_perm, reverse("admin:requests_subjectrequest_changelist")
    answers = may("requests.change_subjectrequest")
    due = requests.due_of(None if answers else request.user.pk, database_now())
    text = f"Due: {_counted(due.number, 'request')}"
    if due.overdue:
        text += f", {due.overdue:,} overdue"
    if due.first:
        text += f", the first {'since' if due.overdue else 'by'} {due.first:%-d %B %Y}"
    link = f"{queue}?shown=due{'' if answers else '&assigned=me'}"
    items = [WorkItem(due.number, text, "no request is due soon", link)]
    if may("requests.approve_subjectrequest"):
        number = requests.to_approve(request.user.get_username()).count()
        text = f"{_counted(number, 'refusal')} to approve"
        items.append(WorkItem(number, text, "no refusal waits for approval", f"{queue}?shown=approve"))
    if answers:
        number = requests.unverified().count()
        text = f"{_counted(number, 'request')} to verify"
        items.append(WorkItem(number, text, "every request is verified", f"{queue}?shown=unverified"))
        number, page = requests.to_send_by_hand().count(), reverse("admin:requests_customermessage_changelist")
        text = f"{_counted(number, 'message')} to send by hand"
        items.append(WorkItem(number, text, "no message waits to be sent by hand", f"{page}?waiting=yes"))
    return items


def _exports(request: HttpRequest) -> list[WorkItem]:
    """Exports that wait for the user: to be reviewed, to be released."""
    may, page = request.user.has_perm, reverse("admin:exports_dataexport_changelist")
    items = []
    if may("exports.review_dataexport") and may("exports.add_dataexport"):
        number = exports.to_review().count()
        text = f"{_counted(number, 'export')} to review"
        items.append(WorkItem(number, text, "no export is in review", f"{page}?state__exact={ExportState.IN_REVIEW}"))
    if may("exports.release_dataexport") and settings().exports_need_approval:
        number = exports.to_release(request.user.get_username()).count()
        text = f"{_counted(number, 'export')} to release"
        items.append(
            WorkItem(number, text, "no export is to be released", f"{page}?state__exact={ExportState.TO_RELEASE}")
        )
    return items


def _hindered() -> WorkItem:
    number = erasures.hindered().count()
    waits = "waits" if number == 1 else "wait"
    text = f"{_counted(number, 'erasure')} {waits} for a server that does not answer"
    return WorkItem(number, text, "no erasure waits for a server", reverse("admin:erasure_erasure_changelist"))


def _pauses() -> WorkItem:
    found = consent.open_pauses()
    verbs = "is paused and waits" if found.customers == 1 else "are paused and wait"
    oldest = f", the first since {found.oldest:%-d %B %Y}" if found.oldest else ""
    text = f"Due: {_counted(found.customers, 'customer')} {verbs} for your decision{oldest}"
    link = reverse("admin:customers_customer_changelist") + "?paused=yes"
    return WorkItem(found.customers, text, "no customer is paused", link)


def _pending() -> WorkItem:
    found = consent.outbox_backlog()
    text = f"Pending: {_counted(found.unpublished, 'decision')} not in effect yet"
    link = reverse("admin:consent_permissionchange_changelist") + "?state=pending"
    return WorkItem(found.unpublished, text, "every decision is in effect", link)


def _findings() -> WorkItem:
    count = audit.open_findings().count()
    text = f"{_counted(count, 'finding')} of the consent audit to look at"
    none = "no finding is open" if audit.last_audit() else "no audit has ended yet"
    return WorkItem(count, text, none, reverse("admin:audit_finding_changelist") + "?state__exact=open")


def _dead_letters() -> WorkItem:
    count = dead_letters.quarantine_status().waiting
    text = f"{_counted(count, 'event')} that could not be counted, to be replayed or discarded"
    return WorkItem(count, text, "no dead letter waits", reverse("admin:ingest_deadletter_changelist"))


def _counted(number: int, noun: str) -> str:
    """
    >>> _counted(1, "finding"), _counted(2000, "finding")
    ('1 finding', '2,000 findings')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
