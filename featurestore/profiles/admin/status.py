"""Status of a customer's purposes for the admin page: allowed, paused or denied, why, since when, and in the store."""

from datetime import UTC, datetime
from typing import NamedTuple

from featurestore.clock import milliseconds
from featurestore.consent import selectors
from featurestore.consent.models import ConsentRecord, CurrentPermission, Purpose
from featurestore.consent.outbox.publication import permissions_of
from featurestore.consent.permission_derivation import Basis
from featurestore.consent.selectors import StoreStatus
from featurestore.customers.models import Customer
from featurestore.permission import Denial, Permission, PurposePermission, current

DECIDABLE = frozenset({Basis.CONSENT, Basis.LEGITIMATE_INTEREST})
"""Lawful bases of which the customer decides."""

NO_PERMISSION = Permission(0, 0)
WITHOUT_DECISION = {
    Basis.CONSENT: "No decision: without consent it is denied.",
    Basis.CONTRACT: "The contract with the customer needs it. It ends with the contract.",
    Basis.LEGAL_OBLIGATION: "A law requires it. It can't be withdrawn.",
    Basis.LEGITIMATE_INTEREST: "A legitimate interest. The customer has not objected.",
}
STORE_PROBLEMS = {
    StoreStatus.VOUCHED: "",
    StoreStatus.PARTLY: "A part of the store is not vouched for: until it is, reads may be denied for every purpose.",
    StoreStatus.UNVOUCHED: "The store is not vouched for: until it is, reads are denied for every purpose.",
    StoreStatus.LATCHED: "The database has lost commits: reads are denied for every purpose until an operator decides.",
    StoreStatus.UNAVAILABLE: "The store is unavailable: until it is back, reads are denied for every purpose.",
}


class PurposeStatus(NamedTuple):
    """Status of one purpose. ``in_store``: the store's permission is ours; None if the store is not vouched for.

    ``granted``: the customer's decision or the lawful basis allows it, and a pause alone denies it.
    """

    purpose: Purpose
    allowed: bool
    paused: bool
    granted: bool
    why: str
    record: ConsentRecord | None
    since: datetime | None
    until: datetime | None
    in_store: bool | None
    store_allows: bool

    @property
    def decidable(self) -> bool:
        """Whether the customer decides on this purpose."""
        return self.purpose.active and self.purpose.lawful_basis in DECIDABLE


class CustomerStatus(NamedTuple):
    """Status of a customer's purposes, and a problem of the store ("" if none)."""

    store_problem: str
    purposes: list[PurposeStatus]

    @property
    def paused(self) -> bool:
        """Whether any purpose is paused, so that there is something to lift."""
        return any(line.paused for line in self.purposes)


def status_of(customer: Customer) -> CustomerStatus:
    """The status of a customer: a fixed number of queries, and one read of the store."""
    now_ms = milliseconds(datetime.now(UTC))
    rows = {row.purpose_id: row for row in selectors.current_permissions(customer.customer_id)}
    records = {record.purpose_id: record for record in selectors.last_records(customer.customer_id)}
    ours = permissions_of([customer.subject]).get(customer.subject, NO_PERMISSION)
    status, (stored,) = selectors.permissions_in_store([customer.subject])
    purposes = []
    for purpose in Purpose.objects.all():
        want, have = (current(permission, purpose.name, now_ms) for permission in (ours, stored or NO_PERMISSION))
        row, record = rows.get(purpose.pk), records.get(purpose.pk)
        allowed, paused = isinstance(want, PurposePermission), bool(row and row.paused)
        purposes.append(
            PurposeStatus(
                purpose=purpose,
                allowed=allowed,
                paused=paused,
                granted=allowed or want is Denial.PAUSED,
                why=_why(purpose, row, record, want),
                record=record,
                since=_since(row, record, want),
                until=row.until if row else None,
                in_store=want == have if status is StoreStatus.VOUCHED else None,
                store_allows=isinstance(have, PurposePermission),
            )
        )
    return CustomerStatus(STORE_PROBLEMS[status], purposes)


def _why(
    purpose: Purpose, row: CurrentPermission | None, record: ConsentRecord | None, want: PurposePermission | Denial
) -> str:
    basis = Basis(purpose.lawful_basis)
    if row and row.paused:
        allowed = "It is allowed otherwise, and what was counted is kept." if row.allowed else "It is denied anyway."
        return f"Processing is restricted until the pause is lifted. {allowed}"
    if want is Denial.EXPIRED:
        return "Expired."
    if not purpose.active and (row is None or row.allowed):
        return "The purpose is retired."
    if row is None or record is None:
        return WITHOUT_DECISION[basis]
    if record.decision == ConsentRecord.Decision.EXPIRED:
        return f"Ended: {record.reason}."
    if basis is Basis.CONSENT:
        decided = "Consent given" if row.allowed else "Consent withdrawn or refused"
    else:
        decided = "Objection taken back" if row.allowed else "The customer objected"
    if record.decision == ConsentRecord.Decision.LIFTED:
        decided = "The pause was lifted"
    return f"{decided}, via {record.get_method_display().lower()}."


def _since(
    row: CurrentPermission | None, record: ConsentRecord | None, want: PurposePermission | Denial
) -> datetime | None:
    if row is None or isinstance(want, PurposePermission):
        return row.since if row else None
    return row.until if want is Denial.EXPIRED else record.since if record else row.ended_at
