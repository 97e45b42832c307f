"""What waits for a decision of the user: the first line of the administration's first page."""

from typing import NamedTuple

from django.http import HttpRequest
from django.urls import reverse

from featurestore.audit import selectors as audit
from featurestore.consent import selectors as consent
from featurestore.ingest import selectors as dead_letters


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
    if may("consent.add_consentrecord") and may("customers.view_customer"):
        items.append(_pauses())
    if may("consent.view_permissionchange"):
        items.append(_pending())
    if may("audit.change_finding"):
        items.append(_findings())
    if may("ingest.change_deadletter"):
        items.append(_dead_letters())
    return items


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
