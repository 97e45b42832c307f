"""Writer of permission changes: a consent record, the current state, the subject's version and an outbox row each.

It writes within the caller's transaction, so that the four agree. One change may hold several purposes of a customer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from featurestore.clock import moment
from featurestore.consent.change_sequence import take_number
from featurestore.consent.models import (
    ChangeSequence,
    ConsentRecord,
    CurrentPermission,
    Notice,
    PermissionChange,
    Purpose,
    SubjectVersion,
)
from featurestore.consent.permission_derivation import ConsentState, Decision, after_end, consent_state, requires_purge
from featurestore.customers.models import Customer

STATE_FIELDS = "allowed paused grant_id since complete_from until ended_at sequence start_sequence".split()


@dataclass
class ChangeWriter:
    """Changes of one transaction. The change sequence must be locked; nothing is written before ``write``."""

    change_sequence: ChangeSequence
    states: dict[tuple[int, int], ConsentState] = field(default_factory=dict)  # (customer, purpose) -> state
    start_sequences: dict[tuple[int, int], int] = field(default_factory=dict)
    rows: dict[tuple[int, int], CurrentPermission] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    outbox: list[PermissionChange] = field(default_factory=list)
    records: list[ConsentRecord] = field(default_factory=list)

    def load_states(self, customers: Iterable[Customer]) -> None:
        for row in CurrentPermission.objects.filter(customer__in=customers):
            self.states[row.customer_id, row.purpose_id] = state_of_row(row)
            self.start_sequences[row.customer_id, row.purpose_id] = row.start_sequence

    def state_of(self, customer: Customer, purpose: Purpose) -> ConsentState | None:
        return self.states.get((customer.pk, purpose.pk))

    @property
    def next_sequence(self) -> int:
        """The number of the next change, which is the grant id of a new grant as well."""
        return self.change_sequence.sequence + 1

    def add_decision(
        self,
        customer: Customer,
        purpose: Purpose,
        decision: Decision,
        after: ConsentState,
        effective_ms: int,
        *,
        method: str,
        actor: str,
        reason: str = "",
        notice: Notice | None = None,
    ) -> ConsentRecord:
        """Add a decision and the state after it."""
        record = ConsentRecord(
            sequence=self.add_change(customer, {purpose: after}),
            customer=customer,
            purpose=purpose,
            decision=decision,
            at=self.change_sequence.at,
            since=moment(effective_ms),
            until=moment_or_none(after.until_ms),
            method=method,
            notice=notice,
            actor=actor,
            reason=reason,
        )
        self.records.append(record)
        return record

    def add_expiry(self, customer: Customer, purpose: Purpose, ended_ms: int, reason: str) -> ConsentRecord:
        """Add the end of a grant without a decision: it expired, or its purpose was retired."""
        after = after_end(self.states[customer.pk, purpose.pk], ended_ms)
        return self.add_decision(
            customer, purpose, Decision.EXPIRED, after, ended_ms, method="system", actor="system", reason=reason
        )

    def add_change(self, customer: Customer, states: Mapping[Purpose, ConsentState]) -> int:
        """Add new states of a customer as one change; return its sequence."""
        sequence, purge = take_number(self.change_sequence), False
        for purpose, after in states.items():
            key = customer.pk, purpose.pk
            before = self.states.get(key)
            purge |= requires_purge(before, after)
            if before is None or _start_of(before) != _start_of(after):
                self.start_sequences[key] = sequence
            self.states[key] = after
            self.rows[key] = CurrentPermission(
                customer=customer,
                purpose=purpose,
                allowed=after.allowed,
                paused=after.paused,
                grant_id=after.grant_id,
                since=moment_or_none(after.since_ms),
                complete_from=moment_or_none(after.complete_from_ms),
                until=moment_or_none(after.until_ms),
                ended_at=moment_or_none(after.ended_ms),
                sequence=sequence,
                start_sequence=self.start_sequences[key],
            )
        self.versions[customer.subject] = sequence
        at = self.change_sequence.at
        self.outbox.append(
            PermissionChange(
                sequence=sequence, subject=customer.subject, purge=purge, created_at=at, next_attempt_at=at
            )
        )
        return sequence

    def write(self) -> None:
        """Write all changes, then the change sequence."""
        ConsentRecord.objects.bulk_create(self.records)
        CurrentPermission.objects.bulk_create(
            self.rows.values(),
            update_conflicts=True,
            unique_fields=["customer", "purpose"],
            update_fields=STATE_FIELDS,
        )
        SubjectVersion.objects.bulk_create(
            [SubjectVersion(subject=subject, sequence=sequence) for subject, sequence in self.versions.items()],
            update_conflicts=True,
            unique_fields=["subject"],
            update_fields=["sequence"],
        )
        PermissionChange.objects.bulk_create(self.outbox)
        self.change_sequence.save(update_fields=["sequence", "at"])


def state_of_row(row: CurrentPermission) -> ConsentState:
    times = row.since, row.until, row.ended_at, row.complete_from
    return consent_state(row.allowed, row.paused, row.grant_id, *times)


def _start_of(state: ConsentState) -> tuple[int, int, int]:
    return state.grant_id, state.since_ms, state.complete_from_ms


def moment_or_none(ms: int) -> datetime | None:
    return moment(ms) if ms else None
