"""Permissions as of a past time: what a customer allowed then, since when, on which basis and under which notice.

It is what was recorded by that time: a decision that was recorded later, whatever time it is about, did not count yet.
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from featurestore.clock import database_now
from featurestore.consent.errors import UnknownCustomer, WrongDate
from featurestore.consent.models import ConsentRecord, Notice, PermissionChange, PermissionState, Purpose
from featurestore.consent.permission_derivation import FIRST_DATE, Decision
from featurestore.customers.models import Customer
from featurestore.customers.selectors import person_of


class Reason(StrEnum):
    """Why a purpose was not allowed."""

    NEVER_ALLOWED = "never_allowed"
    WITHDRAWN = "withdrawn"  # of a legitimate interest: objected
    EXPIRED = "expired"
    PAUSED = "paused"
    RETIRED = "retired"
    ERASED = "erased"


REASON_TEXTS = {
    Reason.NEVER_ALLOWED: _("It had not been allowed yet."),
    Reason.WITHDRAWN: _("The customer had withdrawn, refused or objected."),
    Reason.EXPIRED: _("The consent had ended."),
    Reason.PAUSED: _("Processing was restricted."),
    Reason.RETIRED: _("The purpose was retired."),
    Reason.ERASED: _("The customer was erased."),
}


class PurposeAsOf(NamedTuple):
    """What was allowed for one purpose. ``reason``: why it was not; None if it was.

    ``since``: the time from which on events counted. ``recorded_at``: when that was recorded. ``in_effect_at``: when
    the store had it; None if that is not known (any more: an outbox row is kept for 30 days). ``record``: the last
    decision that counted. ``notice``: the one under which the customer last consented.
    """

    purpose: Purpose
    reason: Reason | None
    since: datetime | None
    until: datetime | None
    recorded_at: datetime | None
    in_effect_at: datetime | None
    record: ConsentRecord | None
    notice: Notice | None

    @property
    def allowed(self) -> bool:
        return self.reason is None

    @property
    def reason_text(self) -> str:
        return str(REASON_TEXTS[self.reason]) if self.reason else ""


def permissions_as_of(
    customer_id: str, at: datetime, *, erased: bool = False, now: datetime | None = None
) -> list[PurposeAsOf]:
    """What a customer allowed at a time, for each purpose there is, by name.

    ``erased``: also of a customer who was erased since. Raises UnknownCustomer, and WrongDate for a time in the future
    or before 1970.
    """
    if at > (now or database_now()):
        raise WrongDate("The time is in the future: nothing is known of it yet.")
    if at < FIRST_DATE:
        raise WrongDate("The time is before 1970: nothing was recorded then.")
    rows = Customer.objects.filter(pk__in=person_of(customer_id).customers)
    if not erased:
        rows = rows.filter(erased_at=None)
    if not rows:
        raise UnknownCustomer("No customer with this id is registered.")
    present = [row.pk for row in rows if row.erased_at is None or at < row.erased_at]
    states = {
        row.purpose_id: row
        for row in PermissionState.objects.filter(customer__in=present, at__lte=at).order_by("sequence")
    }
    records = ConsentRecord.objects.filter(customer__in=present, at__lte=at, superseded=False).order_by("sequence")
    decided, consented = dict[int, ConsentRecord](), dict[int, ConsentRecord]()
    for record in records.select_related("notice"):
        decided[record.purpose_id] = record
        if record.decision == Decision.GIVEN:
            consented[record.purpose_id] = record
    changes = PermissionChange.objects.filter(sequence__in=[state.sequence for state in states.values()])
    in_effect = dict(changes.values_list("sequence", "published_at"))
    found = []
    for purpose in Purpose.objects.order_by("name"):
        state, consent = states.get(purpose.pk), consented.get(purpose.pk)
        found.append(
            PurposeAsOf(
                purpose=purpose,
                reason=_reason(purpose, state, decided.get(purpose.pk), at) if present else Reason.ERASED,
                since=state.since if state else None,
                until=state.until if state else None,
                recorded_at=state.at if state else None,
                in_effect_at=in_effect.get(state.sequence) if state else None,
                record=decided.get(purpose.pk),
                notice=consent.notice if consent else None,
            )
        )
    return found


def _reason(
    purpose: Purpose, state: PermissionState | None, record: ConsentRecord | None, at: datetime
) -> Reason | None:
    """Why a purpose was not allowed in a state; None if it was."""
    if purpose.retired_at and purpose.retired_at <= at:
        return Reason.RETIRED
    if state is None:
        return Reason.NEVER_ALLOWED
    if state.paused:
        return Reason.PAUSED
    if not state.allowed:
        if record is None:
            return Reason.NEVER_ALLOWED
        return Reason.EXPIRED if record.decision == Decision.EXPIRED else Reason.WITHDRAWN
    return Reason.EXPIRED if state.until and state.until <= at else None
