"""Data locations of consent's rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from featurestore.consent.models import ConsentRecord, CurrentPermission, KeptDenial, PermissionChange, PermissionState
from featurestore.consent.services.erasure import erase_permissions, pseudonymise_changes, redact_records
from featurestore.consent.services.pauses import pause
from featurestore.customers.models import Customer
from featurestore.locations import ErasePage, Item, Person
from featurestore.row_locations import RowLocation, reached_database

REDACTED = Q(customer__erased_at__isnull=False, reason="", idempotency_key="", request_digest="")


def text_of(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def state_data(row: CurrentPermission | PermissionState) -> dict[str, Any]:
    times = {name: text_of(getattr(row, name)) for name in ("since", "complete_from", "until", "ended_at")}
    return {"purpose": row.purpose.name, "allowed": row.allowed, "paused": row.paused, **times}


class PermissionLocation(RowLocation):
    """Current permissions. Their erasure marks the customer as erased, and begins every other erasure.

    A call about purposes erases nothing here: a purpose ends with its withdrawal. What it allows or pauses is kept.
    """

    name, title, category = "permissions", "Current permissions", "permission"
    model = CurrentPermission
    derived_from = ("consent_records",)

    def rows(self, person: Person) -> QuerySet[CurrentPermission]:
        found = CurrentPermission.objects.filter(customer__in=person.customers).select_related("purpose")
        return _of_purposes(found, person)

    def traces(self, person: Person) -> QuerySet[CurrentPermission]:
        found = self.rows(person)
        return found if person.whole else found.filter(Q(allowed=True) | Q(paused=True))

    def item(self, row: CurrentPermission) -> Item:
        return Item(self.category, "your decisions", row.since, state_data(row))

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        with reached_database():
            if person.whole:
                return ErasePage(erase_permissions(person.customers), 0, None)
            return ErasePage(0, self.traces(person).count(), None)

    def pause(self, person: Person, actor: str, reason: str) -> int:
        with reached_database():
            present = Customer.objects.filter(pk__in=person.customers, erased_at=None)
            return sum(_pause(customer, person, actor, reason) for customer in present)


def _pause(customer: Customer, person: Person, actor: str, reason: str) -> int:
    """Pause a customer's purposes that are not paused yet; their number. By event source nothing can be paused."""
    if person.sources is not None:
        return 0
    if person.purposes is None:
        before = CurrentPermission.objects.filter(customer=customer, paused=True).count()
        active = CurrentPermission.objects.filter(customer=customer, paused=False)
        if before and not active.exists():
            return 0
        recorded = pause(customer.customer_id, method="system", actor=actor, reason=reason)
        return len(recorded) - before
    paused = CurrentPermission.objects.filter(customer=customer, paused=True).values_list("purpose__name", flat=True)
    names = sorted(person.purposes.difference(paused))
    for name in names:
        pause(customer.customer_id, name, method="system", actor=actor, reason=reason)
    return len(names)


class ConsentRecordLocation(RowLocation):
    """Consent records: the proof of what was decided. They stay with a pseudonym, without free text or request keys."""

    name, title, category = "consent_records", "Consent records", "decision"
    model = ConsentRecord
    erased_after = ("permissions", "customers")

    def rows(self, person: Person) -> QuerySet[ConsentRecord]:
        found = ConsentRecord.objects.filter(customer__in=person.customers).select_related("purpose", "notice")
        return _of_purposes(found, person)

    def traces(self, person: Person) -> QuerySet[ConsentRecord]:
        found = ConsentRecord.objects.filter(customer__in=person.customers).exclude(REDACTED)
        return found if person.whole else found.none()

    def item(self, row: ConsentRecord) -> Item:
        data = {
            "purpose": row.purpose.name,
            "decision": row.decision,
            "decided_at": text_of(row.decided_at),
            "since": text_of(row.since),
            "until": text_of(row.until),
            "method": row.method,
            "notice": row.notice.reference if row.notice else None,
            "reason": row.reason,
            "superseded": row.superseded,
        }
        return Item(self.category, row.method, row.at, data)

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        return redact_records(keys)


class PermissionStateLocation(RowLocation):
    """States of permissions: the proof of what was allowed when. They stay with a pseudonym."""

    name, title, category = "permission_states", "States of permissions", "earlier permission"
    model = PermissionState
    derived_from = ("consent_records",)
    erased_after = ("permissions", "customers")

    def rows(self, person: Person) -> QuerySet[PermissionState]:
        found = PermissionState.objects.filter(customer__in=person.customers).select_related("purpose")
        return _of_purposes(found, person)

    def traces(self, person: Person) -> QuerySet[PermissionState]:
        found = self.rows(person).filter(customer__erased_at=None)
        return found if person.whole else found.none()

    def item(self, row: PermissionState) -> Item:
        return Item(self.category, "your decisions", row.at, state_data(row))

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        """None: they name nobody once the customer is erased, which another location does before."""
        return 0


class PermissionChangeLocation(RowLocation):
    """Outbox rows. Those that are in effect, sent and journaled stay with a pseudonym: they number the changes."""

    name, title, category = "permission_changes", "Outbox of permission changes", "change of a permission"
    model = PermissionChange
    derived_from = ("permissions",)
    erased_after = ("permissions",)

    def rows(self, person: Person) -> QuerySet[PermissionChange]:
        found = PermissionChange.objects.filter(subject__in=person.subjects)
        return found if person.whole else found.none()

    def item(self, row: PermissionChange) -> Item:
        data = {"kind": row.kind, "in_effect_at": text_of(row.published_at)}
        return Item(self.category, "your decisions", row.created_at, data)

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        return pseudonymise_changes(keys)


class KeptDenialLocation(RowLocation):
    """Kept denials."""

    name, title, category = "kept_denials", "Kept denials", "decision"
    model = KeptDenial

    def rows(self, person: Person) -> QuerySet[KeptDenial]:
        found = KeptDenial.objects.filter(subject__in=person.subjects)
        if person.sources is not None:
            return found.none()
        return found if person.purposes is None else found.filter(purpose__in=person.purposes)

    def traces(self, person: Person) -> QuerySet[KeptDenial]:
        found = self.rows(person)
        return found if person.whole else found.none()  # a denial is no data of the purpose: it forbids to have any

    def item(self, row: KeptDenial) -> Item:
        data = {
            "purpose": row.purpose,
            "decision": row.decision,
            "decided_at": text_of(row.decided_at),
            "since": text_of(row.since),
            "method": row.method,
            "notice": row.notice,
            "reason": row.reason,
        }
        return Item(self.category, row.method, row.recorded_at, data)


def _of_purposes(rows: QuerySet[Any], person: Person) -> QuerySet[Any]:
    """The rows of a call's purposes. No row of consent belongs to an event source."""
    if person.sources is not None:
        return rows.none()
    return rows if person.purposes is None else rows.filter(purpose__name__in=person.purposes)
