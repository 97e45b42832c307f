"""Writer of one decision: the consent record and the state after it, by what the customer decided and when.

A decision that is older than the newest recorded one of its purpose is recorded as superseded, and changes nothing.
"""

from dataclasses import dataclass
from typing import Any

from featurestore.clock import milliseconds
from featurestore.config import settings
from featurestore.consent import permission_derivation
from featurestore.consent.change_writer import ChangeWriter
from featurestore.consent.decision_order import Rank, check_decided_at, rank_now, rank_of
from featurestore.consent.errors import InactivePurpose, WrongDate, WrongNotice
from featurestore.consent.models import ConsentRecord, Notice, PermissionChange, Purpose
from featurestore.consent.permission_derivation import Basis, ConsentState, Decision
from featurestore.consent.services.choice import Choice
from featurestore.consent.services.request_keys import RequestKey
from featurestore.customers.models import Customer

DAY_MS = 86_400_000


@dataclass(frozen=True)
class DecisionWriter:
    """Writer of a choice about a customer and purpose, in a transaction that holds the change sequence."""

    writer: ChangeWriter
    customer: Customer
    purpose: Purpose
    choice: Choice
    notice: Notice | None
    paused_altogether: bool = False  # every purpose of the customer, so a new one begins paused

    def add(self) -> ConsentRecord:
        """Add the decision to the changes; return its consent record. Raises ConsentError."""
        match self.choice.decision:
            case Decision.GIVEN:
                return self._give()
            case Decision.WITHDRAWN:
                return self._withdraw()
            case Decision.PAUSED:
                return self._pause()
            case Decision.LIFTED:
                return self._lift()
            case Decision.EXPIRED:
                raise ValueError("an expiry is not decided by anybody: the expiry task records it")

    @property
    def state(self) -> ConsentState | None:
        """The state so far; None without one."""
        state = self.writer.state_of(self.customer, self.purpose)
        return ConsentState(allowed=False, paused=True) if state is None and self.paused_altogether else state

    @property
    def now_ms(self) -> int:
        return milliseconds(self.writer.change_sequence.at)

    def _give(self) -> ConsentRecord:
        basis, choice = Basis(self.purpose.lawful_basis), self.choice
        if not self.purpose.active:
            raise InactivePurpose(f"Purpose {self.purpose.name} is retired: it can't be consented to any more.")
        if basis is Basis.CONSENT and self.notice is None:
            raise WrongNotice("A consent needs the notice that was shown: give its reference, name/version/language.")
        until_ms = self._end_of_consent()
        permission_derivation.check_consent(basis, until_ms)
        rank = self._rank(until_ms)
        superseded = self.writer.has_newer_decision(self.customer, self.purpose, rank)
        if superseded and choice.since is None:
            return self._add_superseded(rank, until_ms)
        if choice.decided_at and until_ms and until_ms <= self.now_ms:
            return self._add_ended_consent(rank, until_ms)
        before = self.state
        if before and before.allowed and not before.in_force_at(self.now_ms):  # expired, without a record so far
            self.writer.add_expiry(self.customer, self.purpose, before.until_ms, "the grant expired")
        after = permission_derivation.after_consent(
            basis, self.state, self.writer.next_sequence, self.now_ms, choice.imported, until_ms
        )
        if superseded:
            return self._add_superseded(rank, until_ms)
        return self._add(after, after.since_ms, rank=rank)

    def _withdraw(self) -> ConsentRecord:
        if self.choice.until:
            raise WrongDate("A withdrawal has no end: leave out `until`.")
        rank = self._rank(0)
        superseded = self.writer.has_newer_decision(self.customer, self.purpose, rank)
        if superseded and self.choice.since is None:
            return self._add_superseded(rank, 0)
        since_ms = milliseconds(self.choice.since) if self.choice.since else None
        basis = Basis(self.purpose.lawful_basis)
        after = permission_derivation.after_withdrawal(basis, self.state, self.now_ms, since_ms)
        if superseded:
            return self._add_superseded(rank, 0)
        return self._add(after, self.now_ms if since_ms is None else since_ms, rank=rank)

    def _pause(self) -> ConsentRecord:
        return self._add(permission_derivation.after_pause(self.state), self.now_ms)

    def _lift(self) -> ConsentRecord:
        before = self.state
        if before and self._pause_is_unpublished():
            before = before._replace(late_pause=True)
        after = permission_derivation.after_lift(before, self.writer.next_sequence, self.now_ms)
        record = self._add(after, after.since_ms if after.allowed else self.now_ms)
        if before and after.allowed and not before.in_force_at(self.now_ms):
            reason = "the grant expired while it was paused"
            self.writer.add_expiry(self.customer, self.purpose, before.until_ms, reason)
        elif after.allowed and not self.purpose.active:
            self.writer.add_expiry(self.customer, self.purpose, self.now_ms, "the purpose was retired")
        return record

    def _pause_is_unpublished(self) -> bool:
        started = self.writer.start_sequences.get((self.customer.pk, self.purpose.pk), 0)
        return PermissionChange.objects.filter(sequence=started, published_at=None).exists()

    def _rank(self, until_ms: int) -> Rank:
        """The place of the decision among those about its purpose. Raises WrongDate."""
        decision, decided_at = self.choice.decision, self.choice.decided_at
        if decided_at:
            decided_ms, max_age_ms = milliseconds(decided_at), settings().decision_max_age_days * DAY_MS
            check_decided_at(decision, decided_ms, self.now_ms, max_age_ms)
            return rank_of(decision, decided_ms, until_ms)
        if self.choice.since:
            return rank_of(decision, milliseconds(self.choice.since), until_ms)
        newest = self.writer.newest_decision_of(self.customer, self.purpose)
        return rank_now(decision, self.now_ms, until_ms, newest)

    def _end_of_consent(self) -> int:
        """When the consent ends: as stated, and at the latest after the validity of its purpose; 0 if never."""
        choice, validity_days = self.choice, self.purpose.validity_days
        decided_at = choice.since or choice.decided_at
        decided_ms = milliseconds(decided_at) if decided_at else self.now_ms
        until_ms = milliseconds(choice.until) if choice.until else 0
        if until_ms and choice.decided_at and until_ms <= decided_ms:
            raise WrongDate("The consent would end before it was given: `until` must be later than `decided_at`.")
        if validity_days and self.purpose.lawful_basis == Basis.CONSENT:
            longest_ms = decided_ms + validity_days * DAY_MS
            until_ms = min(until_ms or longest_ms, longest_ms)
        return until_ms

    def _add_ended_consent(self, rank: Rank, until_ms: int) -> ConsentRecord:
        """Add a consent that was over before it was recorded. It is the newest decision, so an older grant ends."""
        after = permission_derivation.after_end(self.state or ConsentState(allowed=False), self.now_ms)
        record = self._add(after, self.now_ms, rank=rank, until_ms=until_ms)
        reason = "the consent was over before it was recorded"
        self.writer.add_expiry(self.customer, self.purpose, self.now_ms, reason)
        return record

    def _add_superseded(self, rank: Rank, until_ms: int) -> ConsentRecord:
        decision = self.choice.decision
        return self.writer.add_superseded(self.customer, self.purpose, decision, rank, until_ms, **self._evidence())

    def _add(self, after: ConsentState, effective_ms: int, **order: Any) -> ConsentRecord:
        """Add the decision and the state after it. ``order``: its rank, and its end if it is not the state's."""
        decision = self.choice.decision
        return self.writer.add_decision(
            self.customer, self.purpose, decision, after, effective_ms, **order, **self._evidence()
        )

    def _evidence(self) -> dict[str, Any]:
        """Fields of the consent record: how and by whom it was recorded, and the request that it came with."""
        request = self.choice.request or RequestKey("", "")
        return {
            "method": self.choice.method,
            "actor": self.choice.actor,
            "reason": self.choice.reason,
            "notice": self.notice,
            "idempotency_key": request.key,
            "request_digest": request.digest,
        }
