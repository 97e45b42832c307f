"""Writer of permission changes: a consent record, the new state, the subject's version and an outbox row each.

It writes within the caller's transaction, so that the four agree. One change may hold several purposes of a customer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from featurestore.auditlog.services import append_all
from featurestore.clock import milliseconds, moment
from featurestore.consent.audit_entries import entry_of
from featurestore.consent.change_sequence import take_number
from featurestore.consent.decision_order import ORDERED, Rank, rank_now, rank_of
from featurestore.consent.models import (
    ChangeSequence,
    ConsentRecord,
    CurrentPermission,
    PermissionChange,
    PermissionState,
    Purpose,
    SubjectVersion,
)
from featurestore.consent.permission_derivation import ConsentState, Decision, after_end, consent_state, requires_purge
from featurestore.customers.models import Customer

STATE_FIELDS = (
    *("allowed", "paused", "late_pause", "grant_id", "since", "complete_from", "until", "ended_at"),
    *("sequence", "start_sequence", "newest_decision"),
)


@dataclass
class ChangeWriter:
    """Changes of one transaction. The change sequence must be locked; nothing is written before ``write``."""

    change_sequence: ChangeSequence
    states: dict[tuple[int, int], ConsentState] = field(default_factory=dict)  # (customer, purpose) -> state
    start_sequences: dict[tuple[int, int], int] = field(default_factory=dict)
    rows: dict[tuple[int, int], CurrentPermission] = field(default_factory=dict)
    newest: dict[tuple[int, int], int] = field(default_factory=dict)  # sequence of the newest decision
    ranks: dict[tuple[int, int], Rank] = field(default_factory=dict)  # its rank
    versions: dict[str, int] = field(default_factory=dict)
    outbox: list[PermissionChange] = field(default_factory=list)
    records: list[ConsentRecord] = field(default_factory=list)
    past_states: list[PermissionState] = field(default_factory=list)

    def load_states(self, customers: Iterable[Customer]) -> None:
        for row in CurrentPermission.objects.filter(customer__in=customers):
            self.states[row.customer_id, row.purpose_id] = state_of_row(row)
            self.start_sequences[row.customer_id, row.purpose_id] = row.start_sequence
            if row.newest_decision is not None:
                self.newest[row.customer_id, row.purpose_id] = row.newest_decision

    def load_newest_decisions(self) -> None:
        """Load the ranks of the newest decisions about the purposes that ``load_states`` has loaded."""
        for record in ConsentRecord.objects.filter(sequence__in=self.newest.values()):
            until_ms = milliseconds(record.until) if record.until else 0
            rank = rank_of(Decision(record.decision), milliseconds(record.decided_at), until_ms)
            self.ranks[record.customer_id, record.purpose_id] = rank

    def state_of(self, customer: Customer, purpose: Purpose) -> ConsentState | None:
        return self.states.get((customer.pk, purpose.pk))

    @property
    def has_pauses(self) -> bool:
        """Whether any of the states loaded is paused."""
        return any(state.paused for state in self.states.values())

    @property
    def next_sequence(self) -> int:
        """The number of the next change, which is the grant id of a new grant as well."""
        return self.change_sequence.sequence + 1

    def newest_decision_of(self, customer: Customer, purpose: Purpose) -> Rank | None:
        """The rank of the newest decision about a purpose, by the time at which it was made; None without one."""
        return self.ranks.get((customer.pk, purpose.pk))

    def has_newer_decision(self, customer: Customer, purpose: Purpose, rank: Rank) -> bool:
        """Whether a decision that ranks above this one is recorded."""
        newest = self.newest_decision_of(customer, purpose)
        return newest is not None and newest > rank

    def add_decision(
        self,
        customer: Customer,
        purpose: Purpose,
        decision: Decision,
        after: ConsentState,
        effective_ms: int,
        *,
        rank: Rank | None = None,
        until_ms: int | None = None,
        **evidence: Any,
    ) -> ConsentRecord:
        """Add a decision and the state after it. ``rank``: of the newest decision; without one it was made now.

        ``until_ms``: the end of a consent, if the state after it has another. ``evidence``: other fields of the record.
        """
        if decision in ORDERED:
            newest = self.newest_decision_of(customer, purpose)
            rank = rank or rank_now(decision, milliseconds(self.change_sequence.at), after.until_ms, newest)
            self.ranks[customer.pk, purpose.pk] = rank
        sequence = self.add_change(customer, {purpose: after}, decided=decision in ORDERED)
        return self._add_record(
            customer,
            purpose,
            decision,
            sequence=sequence,
            since=moment(effective_ms),
            until=moment_or_none(after.until_ms if until_ms is None else until_ms),
            decided_at=moment(rank.decided_ms) if rank else min(moment(effective_ms), self.change_sequence.at),
            **evidence,
        )

    def add_superseded(
        self, customer: Customer, purpose: Purpose, decision: Decision, rank: Rank, until_ms: int, **evidence: Any
    ) -> ConsentRecord:
        """Add a decision that is older than the newest one: it is recorded, and changes no state."""
        return self._add_record(
            customer,
            purpose,
            decision,
            sequence=self.add_change(customer, {}),
            since=self.change_sequence.at,
            until=moment_or_none(until_ms),
            decided_at=moment(rank.decided_ms),
            superseded=True,
            **evidence,
        )

    def _add_record(self, customer: Customer, purpose: Purpose, decision: Decision, **fields: Any) -> ConsentRecord:
        at = self.change_sequence.at
        record = ConsentRecord(customer=customer, purpose=purpose, decision=decision, at=at, **fields)
        self.records.append(record)
        return record

    def add_expiry(self, customer: Customer, purpose: Purpose, ended_ms: int, reason: str) -> ConsentRecord:
        """Add the end of a grant without a decision: it expired, or its purpose was retired."""
        after = after_end(self.states[customer.pk, purpose.pk], ended_ms)
        return self.add_decision(
            customer, purpose, Decision.EXPIRED, after, ended_ms, method="system", actor="system", reason=reason
        )

    def add_change(self, customer: Customer, states: Mapping[Purpose, ConsentState], *, decided: bool = False) -> int:
        """Add new states of a customer as one change; return its sequence. ``decided``: by the newest decisions."""
        sequence, purge, at = take_number(self.change_sequence), False, self.change_sequence.at
        for purpose, after in states.items():
            key = customer.pk, purpose.pk
            before = self.states.get(key)
            purge |= requires_purge(before, after)
            if before is None or _start_of(before) != _start_of(after):
                self.start_sequences[key] = sequence
            self.states[key] = after
            if decided:
                self.newest[key] = sequence
            stored: dict[str, Any] = {
                "allowed": after.allowed,
                "paused": after.paused,
                "grant_id": after.grant_id,
                "since": moment_or_none(after.since_ms),
                "complete_from": moment_or_none(after.complete_from_ms),
                "until": moment_or_none(after.until_ms),
                "ended_at": moment_or_none(after.ended_ms),
                "sequence": sequence,
            }
            self.past_states.append(PermissionState(customer=customer, purpose=purpose, at=at, **stored))
            self.rows[key] = CurrentPermission(
                customer=customer,
                purpose=purpose,
                late_pause=after.late_pause,
                start_sequence=self.start_sequences[key],
                newest_decision=self.newest.get(key),
                **stored,
            )
        self.versions[customer.subject] = sequence
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
        PermissionState.objects.bulk_create(self.past_states)
        SubjectVersion.objects.bulk_create(
            [SubjectVersion(subject=subject, sequence=sequence) for subject, sequence in self.versions.items()],
            update_conflicts=True,
            unique_fields=["subject"],
            update_fields=["sequence"],
        )
        PermissionChange.objects.bulk_create(self.outbox)
        append_all(entry_of(record) for record in self.records)
        self.change_sequence.save(update_fields=["sequence", "at"])


def state_of_row(row: CurrentPermission) -> ConsentState:
    times = row.since, row.until, row.ended_at, row.complete_from
    return consent_state(row.allowed, row.paused, row.grant_id, *times)._replace(late_pause=row.late_pause)


def _start_of(state: ConsentState) -> tuple[int, int, int, bool]:
    """What a change of begins the counting anew, or ends it. A lifting may leave the times as they are."""
    return state.grant_id, state.since_ms, state.complete_from_ms, state.paused


def moment_or_none(ms: int) -> datetime | None:
    return moment(ms) if ms else None
