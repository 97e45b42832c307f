"""Overview of what is held: what a summary says besides the data, from consent, the access log and the locations.

It names purposes, notices and clients, and nobody: no staff, no other customer, no subject.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Max, Min

from featurestore.accesslog.models import AccessRecord
from featurestore.config import settings
from featurestore.consent.models import ConsentRecord, CurrentPermission
from featurestore.locations import Person
from featurestore.requests.export.models import ExportCategory
from featurestore.row_locations import data_locations

MOST = 1000
"""Rows of each table of a summary. The data files have all."""


class PurposeUse(NamedTuple):
    """What data is used for: a purpose, and since when it is allowed."""

    title: str
    description: str
    basis: str
    allowed: bool
    paused: bool
    since: datetime | None
    until: datetime | None


class Choice(NamedTuple):
    """One decision of the consent history."""

    at: datetime
    purpose: str
    decision: str
    method: str
    notice: str


class Recipient(NamedTuple):
    """Who read what, by client, service and purpose: how often, from when to when."""

    client: str
    service: str
    purpose: str
    reads: int
    first: datetime
    last: datetime


class KeptData(NamedTuple):
    """A data location that holds something: what, and when it ends. ``gone_within``: after an erasure."""

    title: str
    holds: str
    ends: str
    gone_within: timedelta


class Overview(NamedTuple):
    """What a summary says besides the data. ``more_choices``: the history has more than MOST."""

    purposes: list[PurposeUse]
    choices: list[Choice]
    more_choices: bool
    recipients: list[Recipient]
    access_record_days: int
    kept: list[KeptData]


def overview_of(person: Person, categories: list[ExportCategory]) -> Overview:
    """The overview of a person, of whom these categories were found."""
    permissions = CurrentPermission.objects.filter(customer__in=person.customers).select_related("purpose")
    records = ConsentRecord.objects.filter(customer__in=person.customers).select_related("purpose", "notice")
    newest = list(records.order_by("-sequence")[: MOST + 1])
    return Overview(
        [
            PurposeUse(
                one.purpose.title or one.purpose.name, one.purpose.description, one.purpose.lawful_basis, one.allowed,
                one.paused, one.since, one.until,
            )
            for one in permissions.order_by("purpose__title", "purpose__name")[:MOST]
        ],
        [
            Choice(one.decided_at or one.at, one.purpose.title or one.purpose.name, one.decision, one.method,
                   one.notice.reference if one.notice else "")
            for one in newest[:MOST]
        ],
        len(newest) > MOST,
        recipients_of(person),
        settings().access_record_days,
        kept_in(categories),
    )  # fmt: skip


def recipients_of(person: Person) -> list[Recipient]:
    """Who read the person's values, as far back as access records are kept."""
    by = ("context__client", "context__service", "context__purpose")
    found = AccessRecord.objects.filter(subject__in=person.subjects).order_by().values_list(*by)
    counted = found.annotate(Count("pk"), Min("at"), Max("at")).order_by(*by)
    return [Recipient(*row) for row in counted[:MOST]]


def kept_in(categories: list[ExportCategory]) -> list[KeptData]:
    """The data locations in which something was found."""
    names = {name for row in categories for name in row.locations}
    return [
        KeptData(one.title, one.personal_data, one.erased_by, one.gone_within())
        for one in data_locations().in_order()
        if one.name in names
    ]
