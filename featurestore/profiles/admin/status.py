"""How a customer stands with each purpose, in words: may it, why, since when, and does the store say the same."""

from datetime import UTC, datetime
from typing import NamedTuple

from featurestore.clock import milliseconds
from featurestore.consent import selectors
from featurestore.consent.models import ConsentRecord, CurrentPermission, Purpose
from featurestore.consent.outbox.publication import permissions_of
from featurestore.consent.purpose_states import Basis
from featurestore.consent.selectors import StoreStatus
from featurestore.customers.models import Customer
from featurestore.permission import Denial, PurposePermission, Permission, current

DECIDABLE = frozenset({Basis.CONSENT, Basis.LEGITIMATE_INTEREST})
"""Bases that leave the decision to the customer."""

NOTHING = Permission(0, 0)
NEVER_ASKED = {
    Basis.CONSENT: "Never asked: without a yes it is denied.",
    Basis.CONTRACT: "What the customer ordered needs it. It ends with the contract.",
    Basis.LEGAL_OBLIGATION: "A law demands it. It can't be withdrawn.",
    Basis.LEGITIMATE_INTEREST: "A legitimate interest. The customer has not objected.",
}
STORE = {
    StoreStatus.VOUCHED: "",
    StoreStatus.UNVOUCHED: "Nobody vouches for the store: until that is over, reads are denied for every purpose.",
    StoreStatus.UNREACHABLE: "The store is away: until that is over, reads are denied for every purpose.",
}


class PurposeStatus(NamedTuple):
    """One line of the customer's page. ``in_store``: the store says the same; None where its word does not count."""

    purpose: Purpose
    allowed: bool
    why: str
    record: ConsentRecord | None
    since: datetime | None
    until: datetime | None
    in_store: bool | None
    store_allows: bool

    @property
    def decidable(self) -> bool:
        """Whether the customer may say yes or no."""
        return self.purpose.active and self.purpose.lawful_basis in DECIDABLE


class CustomerStatus(NamedTuple):
    """A customer's purposes, and what is wrong with the store, if anything is."""

    store_problem: str
    lines: list[PurposeStatus]


def status_of(customer: Customer) -> CustomerStatus:
    """One line a purpose. As many queries and one look into the store, whatever there is to see."""
    now_ms = milliseconds(datetime.now(UTC))
    rows = {row.purpose_id: row for row in selectors.current_permissions(customer.customer_id)}
    last = selectors.timeline(customer.customer_id).filter(sequence__in=[row.sequence for row in rows.values()])
    records = {record.purpose_id: record for record in last}
    ours = permissions_of([customer.subject]).get(customer.subject, NOTHING)
    status, (stored,) = selectors.permissions_in_store([customer.subject])
    lines = []
    for purpose in Purpose.objects.all():
        want, have = (current(permission, purpose.name, now_ms) for permission in (ours, stored or NOTHING))
        row, record = rows.get(purpose.pk), records.get(purpose.pk)
        lines.append(
            PurposeStatus(
                purpose=purpose,
                allowed=isinstance(want, PurposePermission),
                why=_why(purpose, row, record, want),
                record=record,
                since=_since(row, record, want),
                until=row.until if row else None,
                in_store=want == have if status is StoreStatus.VOUCHED else None,
                store_allows=isinstance(have, PurposePermission),
            )
        )
    return CustomerStatus(STORE[status], lines)


def _why(
    purpose: Purpose, row: CurrentPermission | None, record: ConsentRecord | None, want: PurposePermission | Denial
) -> str:
    basis = Basis(purpose.lawful_basis)
    if want is Denial.EXPIRED:
        return "Its time is over."
    if not purpose.active and (row is None or row.allowed):
        return "Retired: nobody is asked any more."
    if row is None or record is None:
        return NEVER_ASKED[basis]
    if record.decision == ConsentRecord.Decision.EXPIRED:
        return f"Ended: {record.reason}."
    if basis is Basis.CONSENT:
        said = "Consent given" if row.allowed else "Consent withdrawn or refused"
    else:
        said = "Objection taken back" if row.allowed else "The customer objected"
    return f"{said}, via {record.get_method_display().lower()}."


def _since(
    row: CurrentPermission | None, record: ConsentRecord | None, want: PurposePermission | Denial
) -> datetime | None:
    if row is None or isinstance(want, PurposePermission):
        return row.since if row else None
    return row.until if want is Denial.EXPIRED else record.since if record else row.ended_at
