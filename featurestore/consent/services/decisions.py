"""Recording of decisions: in one transaction, then published to the store before the call returns."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from featurestore.clock import milliseconds
from featurestore.consent import permission_derivation
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.change_writer import ChangeWriter
from featurestore.consent.errors import (
    InactivePurpose,
    UnknownCustomer,
    UnknownPurpose,
    WrongActor,
    WrongDate,
    WrongMethod,
    WrongNotice,
    WrongText,
)
from featurestore.consent.models import ConsentRecord, CurrentPermission, Notice, Purpose
from featurestore.consent.outbox.publication import publish
from featurestore.consent.permission_derivation import Basis, ConsentState, Decision, Import
from featurestore.customers.models import Customer
from featurestore.customers.selectors import find_customers
from featurestore.jobs.batches import BATCH_SIZE

DAY_MS = 86_400_000
MAX_ACTOR_LENGTH = 150
MAX_REASON_LENGTH = 500


class Choice(NamedTuple):
    """One decision to record.

    ``since``: for imports, the date of the decision. Events since then count if they are sent after the import is
    effective; those sent before were denied, so that the ``start`` of answers is the time of the import. With
    ``history_follows`` it is ``since``: the caller states that no event of the customer is sent before the import is
    effective. ``until``: end of the consent, where it is earlier than the purpose's ``validity_days``.
    """

    customer_id: str
    purpose: str
    decision: Decision
    method: str
    actor: str
    notice: str | None = None  # its reference, name/version/language
    reason: str = ""
    until: datetime | None = None
    since: datetime | None = None
    history_follows: bool = False

    @property
    def imported(self) -> Import | None:
        return Import(milliseconds(self.since), self.history_follows) if self.since else None


class RecordedDecision(NamedTuple):
    """A recorded decision. ``effective``: published to a vouched store; else the relay publishes it soon.

    ``since``: the time from which it counts, which is later than the record's if the publication took longer than
    START_DELAY_MS. ``paused``: the purpose is paused after it.
    """

    record: ConsentRecord
    effective: bool
    repeated: bool  # nothing changed but the record (and, for a consent given again, its end)
    since: datetime
    paused: bool

    @property
    def sequence(self) -> int:
        return self.record.sequence


def give(
    customer_id: str,
    purpose: str,
    *,
    notice: str | None,
    method: str,
    actor: str,
    reason: str = "",
    until: datetime | None = None,
    since: datetime | None = None,
    history_follows: bool = False,
    now: datetime | None = None,
) -> RecordedDecision:
    """Record a consent (or an objection taken back) and publish it.

    Must not be called within a transaction, since only committed changes may be published. Raises ConsentError.
    """
    choice = Choice(customer_id, purpose, Decision.GIVEN, method, actor, notice, reason, until, since, history_follows)
    return record_decisions([choice], now)[0]


def withdraw(
    customer_id: str,
    purpose: str,
    *,
    method: str,
    actor: str,
    notice: str | None = None,
    reason: str = "",
    since: datetime | None = None,
    now: datetime | None = None,
) -> RecordedDecision:
    """Record a withdrawal (or refusal, or objection); reads are denied before this returns, if ``effective``."""
    choice = Choice(customer_id, purpose, Decision.WITHDRAWN, method, actor, notice, reason, None, since)
    return record_decisions([choice], now)[0]


def record_decisions(choices: Sequence[Choice], now: datetime | None = None) -> list[RecordedDecision]:
    """Record decisions in one transaction, all or none, in order; then publish them. At most 1,000 at a time."""
    if len(choices) > BATCH_SIZE:
        raise ValueError(f"{len(choices)} choices: record at most {BATCH_SIZE} in one transaction")
    with transaction.atomic(durable=True):
        written = _write(choices, now)
    effective = publish({customer.subject for customer, _, _ in written}, now)
    rows = CurrentPermission.objects.filter(customer__in={customer for customer, _, _ in written})
    current = {(row.customer_id, row.purpose_id): row for row in rows}
    return [
        _recorded(entry, current[customer.pk, entry.purpose_id], customer.subject in effective, repeated)
        for customer, entry, repeated in written
    ]


def _recorded(entry: ConsentRecord, row: CurrentPermission, effective: bool, repeated: bool) -> RecordedDecision:
    """``row``: read after the publication, which moves the start of a grant if it was late."""
    begins = entry.decision in (Decision.GIVEN, Decision.LIFTED) and row.allowed and row.since
    return RecordedDecision(entry, effective, repeated, row.since if begins and row.since else entry.since, row.paused)


def _write(choices: Sequence[Choice], now: datetime | None) -> list[tuple[Customer, ConsentRecord, bool]]:
    for choice in choices:
        _check(choice)
    writer = ChangeWriter(lock_change_sequence(now))
    customers = find_customers(choice.customer_id for choice in choices)
    purposes = {p.name: p for p in Purpose.objects.filter(name__in={choice.purpose for choice in choices})}
    references = {choice.notice for choice in choices if choice.notice}
    notices = {n.reference: n for n in Notice.objects.filter(reference__in=references).prefetch_related("purposes")}
    writer.load_states(customers.values())
    written = []
    for choice in choices:
        if choice.customer_id not in customers:
            raise UnknownCustomer("No such customer. Register the customer first.")
        if choice.purpose not in purposes:
            raise UnknownPurpose(f"No purpose {choice.purpose[:64]!r}. The administration lists the purposes.")
        customer, purpose = customers[choice.customer_id], purposes[choice.purpose]
        notice = _notice(choice, purpose, notices)
        before = writer.state_of(customer, purpose)
        entry = DECISION_WRITERS[choice.decision](writer, customer, purpose, choice, notice)
        after = writer.state_of(customer, purpose)
        repeated = bool(before and after and _decided(before) == _decided(after))
        written.append((customer, entry, repeated))
    writer.write()
    return written


def _decided(state: ConsentState) -> tuple[bool, int, bool]:
    return state.allowed, state.grant_id, state.paused


def _give(
    writer: ChangeWriter, customer: Customer, purpose: Purpose, choice: Choice, notice: Notice | None
) -> ConsentRecord:
    basis, now_ms = Basis(purpose.lawful_basis), milliseconds(writer.change_sequence.at)
    if not purpose.active:
        raise InactivePurpose(f"Purpose {purpose.name} is retired: it can't be consented to any more.")
    if basis is Basis.CONSENT and notice is None:
        raise WrongNotice("A consent needs the notice that was shown: give its reference, name/version/language.")
    before = writer.state_of(customer, purpose)
    if before and before.allowed and not before.in_force_at(now_ms):  # expired, without a record so far
        writer.add_expiry(customer, purpose, before.until_ms, "the grant expired")
    until_ms = milliseconds(choice.until) if choice.until else 0
    if purpose.validity_days and basis is Basis.CONSENT:
        longest_ms = (milliseconds(choice.since) if choice.since else now_ms) + purpose.validity_days * DAY_MS
        until_ms = min(until_ms or longest_ms, longest_ms)
    before = writer.state_of(customer, purpose)
    after = permission_derivation.after_consent(basis, before, writer.next_sequence, now_ms, choice.imported, until_ms)
    return _add_decision(writer, customer, purpose, choice, after, after.since_ms, notice)


def _withdraw(
    writer: ChangeWriter, customer: Customer, purpose: Purpose, choice: Choice, notice: Notice | None
) -> ConsentRecord:
    if choice.until:
        raise WrongDate("A withdrawal has no end: leave out `until`.")
    now_ms = milliseconds(writer.change_sequence.at)
    since_ms = milliseconds(choice.since) if choice.since else None
    after = permission_derivation.after_withdrawal(
        Basis(purpose.lawful_basis), writer.state_of(customer, purpose), now_ms, since_ms
    )
    effective_ms = now_ms if since_ms is None else since_ms
    return _add_decision(writer, customer, purpose, choice, after, effective_ms, notice)


def _pause(
    writer: ChangeWriter, customer: Customer, purpose: Purpose, choice: Choice, notice: Notice | None
) -> ConsentRecord:
    after = permission_derivation.after_pause(writer.state_of(customer, purpose))
    return _add_decision(writer, customer, purpose, choice, after, milliseconds(writer.change_sequence.at), notice)


def _lift(
    writer: ChangeWriter, customer: Customer, purpose: Purpose, choice: Choice, notice: Notice | None
) -> ConsentRecord:
    now_ms = milliseconds(writer.change_sequence.at)
    before = writer.state_of(customer, purpose)
    after = permission_derivation.after_lift(before, now_ms)
    entry = _add_decision(writer, customer, purpose, choice, after, after.since_ms if after.allowed else now_ms, notice)
    if before and after.allowed and not before.in_force_at(now_ms):
        writer.add_expiry(customer, purpose, before.until_ms, "the grant expired while it was paused")
    elif after.allowed and not purpose.active:
        writer.add_expiry(customer, purpose, now_ms, "the purpose was retired")
    return entry


def _add_decision(
    writer: ChangeWriter,
    customer: Customer,
    purpose: Purpose,
    choice: Choice,
    after: ConsentState,
    effective_ms: int,
    notice: Notice | None,
) -> ConsentRecord:
    return writer.add_decision(
        customer,
        purpose,
        choice.decision,
        after,
        effective_ms,
        method=choice.method,
        actor=choice.actor,
        reason=choice.reason,
        notice=notice,
    )


DECISION_WRITERS = {
    Decision.GIVEN: _give,
    Decision.WITHDRAWN: _withdraw,
    Decision.PAUSED: _pause,
    Decision.LIFTED: _lift,
}


def _check(choice: Choice) -> None:
    if any("\0" in text for text in (choice.purpose, choice.notice or "", choice.actor, choice.reason)):
        raise WrongText("A text contains a null character. Leave it out.")
    if choice.method not in ConsentRecord.Method.values:
        raise WrongMethod(
            f"Unknown method: state how the decision was made, one of {', '.join(ConsentRecord.Method.values)}."
        )
    if not choice.actor or len(choice.actor) > MAX_ACTOR_LENGTH:
        raise WrongActor(
            f"State who records the decision: the name of a user or client, 1 to {MAX_ACTOR_LENGTH} characters."
        )
    if len(choice.reason) > MAX_REASON_LENGTH:
        raise WrongText(f"The reason has more than {MAX_REASON_LENGTH} characters.")
    if choice.decision in (Decision.PAUSED, Decision.LIFTED):
        if not choice.reason.strip():
            raise WrongText("State why processing is restricted, or why the restriction ends.")
        if choice.since or choice.until:
            raise WrongDate("A pause and its end hold from their recording: leave out `since` and `until`.")
    permission_derivation.check_date("since", choice.since)
    permission_derivation.check_date("until", choice.until)


def _notice(choice: Choice, purpose: Purpose, notices: dict[str, Notice]) -> Notice | None:
    if not choice.notice:
        return None
    notice = notices.get(choice.notice)
    if notice is None:
        raise WrongNotice("No such notice is published. A reference reads name/version/language: privacy/1/en.")
    if purpose not in notice.purposes.all():
        raise WrongNotice(f"Notice {notice.reference} does not explain purpose {purpose.name}.")
    return notice
