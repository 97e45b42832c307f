"""Recording of decisions: in one transaction, then published to the store before the call returns."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.change_writer import ChangeWriter
from featurestore.consent.decision_order import ORDERED
from featurestore.consent.errors import UnknownCustomer, UnknownPurpose, WrongNotice
from featurestore.consent.models import ConsentRecord, CurrentPermission, Notice, Purpose
from featurestore.consent.outbox.publication import publish
from featurestore.consent.paused_altogether import customers_paused_altogether
from featurestore.consent.permission_derivation import ConsentState, Decision
from featurestore.consent.services.choice import Choice, check_choice
from featurestore.consent.services.decision_writer import DecisionWriter
from featurestore.consent.services.request_keys import RecordedRequests
from featurestore.customers.models import Customer
from featurestore.customers.selectors import find_customers
from featurestore.jobs.batches import BATCH_SIZE


class RecordedDecision(NamedTuple):
    """A recorded decision. ``effective``: published to a vouched store; else the relay publishes it soon.

    ``since``: the time from which it counts, which is later than the record's if the publication took longer than
    START_DELAY_MS. ``paused``: the purpose is paused after it. ``superseded``: a newer decision about the purpose is
    recorded, when the answer is given; such a decision is not effective.
    """

    record: ConsentRecord
    effective: bool
    superseded: bool
    repeated: bool  # nothing changed but the record (and, for a consent given again, its end)
    since: datetime
    paused: bool

    @property
    def sequence(self) -> int:
        return self.record.sequence


class WrittenDecision(NamedTuple):
    """A decision that is written and not published. ``repeated``: as of RecordedDecision."""

    customer: Customer
    record: ConsentRecord
    repeated: bool


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
    decided_at: datetime | None = None,
    now: datetime | None = None,
) -> RecordedDecision:
    """Record a consent (or an objection taken back) and publish it.

    Must not be called within a transaction, since only committed changes may be published. Raises ConsentError.
    """
    choice = Choice(customer_id, purpose, Decision.GIVEN, method, actor, notice, reason, until, since, history_follows)
    choice = choice._replace(decided_at=decided_at)
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
    decided_at: datetime | None = None,
    now: datetime | None = None,
) -> RecordedDecision:
    """Record a withdrawal (or refusal, or objection); reads are denied before this returns, if ``effective``."""
    choice = Choice(customer_id, purpose, Decision.WITHDRAWN, method, actor, notice, reason, None, since)
    choice = choice._replace(decided_at=decided_at)
    return record_decisions([choice], now)[0]


def record_decisions(choices: Sequence[Choice], now: datetime | None = None) -> list[RecordedDecision]:
    """Record decisions in one transaction, all or none, in order; then publish them. At most 1,000 at a time."""
    if len(choices) > BATCH_SIZE:
        raise ValueError(f"{len(choices)} choices: record at most {BATCH_SIZE} in one transaction")
    with transaction.atomic(durable=True):
        written = write_decisions(choices, now)
    return publish_written(written, now)


def publish_written(written: Sequence[WrittenDecision], now: datetime | None = None) -> list[RecordedDecision]:
    """Publish decisions that ``write_decisions`` has written, once their transaction is committed."""
    effective = publish({customer.subject for customer, _, _ in written}, now)
    rows = CurrentPermission.objects.filter(customer__in={customer for customer, _, _ in written})
    current = {(row.customer_id, row.purpose_id): row for row in rows}
    return [
        _recorded(entry, current[customer.pk, entry.purpose_id], customer.subject in effective, repeated)
        for customer, entry, repeated in written
    ]


def _recorded(entry: ConsentRecord, row: CurrentPermission, effective: bool, repeated: bool) -> RecordedDecision:
    """``row``: read after the publication, which moves the start of a grant if it was late."""
    superseded = entry.decision in ORDERED and row.newest_decision != entry.sequence
    begins = entry.decision in (Decision.GIVEN, Decision.LIFTED) and not superseded and row.allowed
    since = row.since if begins and row.since else entry.since
    return RecordedDecision(entry, effective and not superseded, superseded, repeated, since, row.paused)


def write_decisions(choices: Sequence[Choice], now: datetime | None = None) -> list[WrittenDecision]:
    """Write decisions within the caller's transaction, which commits before ``publish_written``. Raises ConsentError.

    The change sequence is locked here, or was before; the caller locks no row of consent before it.
    """
    for choice in choices:
        check_choice(choice)
    writer = ChangeWriter(lock_change_sequence(now))
    customers = find_customers(choice.customer_id for choice in choices)
    purposes = {p.name: p for p in Purpose.objects.filter(name__in={choice.purpose for choice in choices})}
    references = {choice.notice for choice in choices if choice.notice}
    notices = {n.reference: n for n in Notice.objects.filter(reference__in=references).prefetch_related("purposes")}
    writer.load_states(customers.values())
    writer.load_newest_decisions()
    known = RecordedRequests(choice.request for choice in choices)
    altogether = customers_paused_altogether(customers.values()) if writer.has_pauses else set()
    written = list[WrittenDecision]()
    for choice in choices:
        if choice.customer_id not in customers:
            raise UnknownCustomer("No such customer. Register the customer first.")
        if choice.purpose not in purposes:
            raise UnknownPurpose(f"No purpose {choice.purpose[:64]!r}. The administration lists the purposes.")
        customer, purpose = customers[choice.customer_id], purposes[choice.purpose]
        if (recorded := known.find(choice.request)) is not None:
            written.append(WrittenDecision(customer, recorded, True))
            continue
        notice = _notice(choice, purpose, notices)
        before = writer.state_of(customer, purpose)
        entry = DecisionWriter(writer, customer, purpose, choice, notice, customer.pk in altogether).add()
        known.add(entry)
        after = writer.state_of(customer, purpose)
        repeated = bool(before and after and _decided(before) == _decided(after))
        written.append(WrittenDecision(customer, entry, repeated))
    writer.write()
    return written


def _decided(state: ConsentState) -> tuple[bool, int, bool]:
    return state.allowed, state.grant_id, state.paused


def _notice(choice: Choice, purpose: Purpose, notices: dict[str, Notice]) -> Notice | None:
    if not choice.notice:
        return None
    notice = notices.get(choice.notice)
    if notice is None:
        raise WrongNotice("No such notice is published. A reference reads name/version/language: privacy/1/en.")
    if purpose not in notice.purposes.all():
        raise WrongNotice(f"Notice {notice.reference} does not explain purpose {purpose.name}.")
    return notice
