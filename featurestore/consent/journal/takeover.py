"""Take-over: the operator's decision after a restore. Every denial that the database lost is recorded, all or none.

One transaction raises epoch and sequence above everything that the journal or the store has seen, records the lost
denials with their evidence, gives grants whose ids may have been issued twice a new one, writes a versioned denial for
every subject that the database does not know, moves the journal's checkpoint and clears the latch. The store verifier
then publishes every permission again, and vouches.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from django.db import transaction

from featurestore.clock import milliseconds, moment
from featurestore.consent.change_writer import ChangeWriter, state_of_row
from featurestore.consent.decision_order import ORDERED, rank_of
from featurestore.consent.journal.kept_denials import add_lost_decision, keep_denial
from featurestore.consent.journal.losses import Losses
from featurestore.consent.journal.lost_denials import KnownState, LostDenial, lost_changes
from featurestore.consent.journal.records import JournalRecord
from featurestore.consent.journal.topic import Journal
from featurestore.consent.models import (
    ConsentRecord,
    CurrentPermission,
    JournalCheckpoint,
    Notice,
    PermissionChange,
    Purpose,
)
from featurestore.consent.permission_derivation import START_DELAY_MS, ConsentState, Decision, after_end, after_pause
from featurestore.consent.services.fences import raise_epoch
from featurestore.consent.subject_versions import write_versions
from featurestore.customers.models import Customer
from featurestore.customers.suppressions import Entry, add_suppressions, parse_entry
from featurestore.jobs.batches import batches

log = structlog.get_logger(__name__)

REASON = "taken over from the journal after a restore"
ERASED = "erased before the restore, and erased again"
PAUSING = (Decision.PAUSED, Decision.LIFTED)


@dataclass
class TakeOver:
    """What is taken over, or would be. Customers and purposes are rows; a subject alone has no customer."""

    losses: Losses
    denials: list[tuple[Customer, Purpose, LostDenial]] = field(default_factory=list)
    kept: list[tuple[str, LostDenial]] = field(default_factory=list)
    renewed: list[CurrentPermission] = field(default_factory=list)
    narrowed: dict[tuple[Customer, Purpose], ConsentState] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    erased: list[Customer] = field(default_factory=list)
    suppressions: dict[Entry, int] = field(default_factory=dict)  # with the time of the erasure, in ms
    consents: int = 0  # that are lost, and not taken over


def plan_take_over(losses: Losses) -> TakeOver:
    """What would be taken over now. Nothing is changed."""
    plan = TakeOver(losses)
    purposes = {purpose.name: purpose for purpose in Purpose.objects.all()}
    renewed: set[tuple[int, str]] = set()
    for subjects in batches(sorted(losses.records.keys() | losses.unknown)):
        customers = {c.subject: c for c in Customer.objects.filter(subject__in=subjects, erased_at=None)}
        known = _known_states(customers.values())
        for subject in subjects:
            customer, ours = customers.get(subject), known.get(subject, {})
            erased_ms, history = _since_erasure(losses.records.get(subject, []))
            plan.suppressions |= _suppressions(losses.records.get(subject, []))
            if customer is None:
                plan.unknown.add(subject)
            elif erased_ms and milliseconds(customer.created_at) <= erased_ms:
                plan.erased.append(customer)
                continue
            lost = lost_changes(history, ours, losses.first, losses.shared)
            plan.consents += _lost_consents(history, ours)
            for denial in lost.denials:
                purpose = purposes.get(denial.purpose)
                if customer is None or purpose is None:
                    plan.kept.append((subject, denial))
                else:
                    plan.denials.append((customer, purpose, denial))
            if customer:
                renewed |= {(customer.pk, name) for name in lost.renewed}
                plan.narrowed |= {(customer, purposes[name]): state for name, state in lost.narrowed.items()}
    plan.renewed = _renewed_grants(plan, renewed)
    return plan


def take_over(losses: Losses, journal: Journal | None, actor: str, now: datetime | None = None) -> TakeOver:
    """Take over what was lost, in one transaction; decisions wait meanwhile. ``actor``: the operator."""
    with transaction.atomic(durable=True):
        change_sequence = raise_epoch(now, above=losses.highest)
        plan = plan_take_over(losses)
        writer = ChangeWriter(change_sequence)
        writer.load_states({row.customer for row in plan.renewed} | {customer for customer, _, _ in plan.denials})
        writer.load_states({*plan.erased, *(customer for customer, _ in plan.narrowed)})
        writer.load_newest_decisions()
        _record_denials(writer, plan.denials, actor)
        _end_erased(writer, plan.erased, actor)
        for entry, erased_ms in plan.suppressions.items():
            add_suppressions([entry], moment(erased_ms))
        for (customer, purpose), state in plan.narrowed.items():
            writer.add_change(customer, {purpose: state})
        _renew_grants(writer, plan.renewed)
        writer.write()
        erased = Customer.objects.filter(pk__in=[customer.pk for customer in plan.erased])
        erased.update(erased_at=change_sequence.at)  # the walk of erasures finds them, and erases them again
        write_versions(change_sequence, plan.unknown)
        for subject, denial in plan.kept:
            keep_denial(subject, denial, actor, REASON)
        if journal and (topic := losses.journal_topic):
            checkpoint = JournalCheckpoint.objects.filter(pk=1)
            checkpoint.update(topic=journal.name, topic_id=topic.id, offset=topic.offset, last_token=topic.token)
        if losses.journal_is_incomplete:
            PermissionChange.objects.update(journaled_at=None)  # so that it holds again what the database knows
    log.warning(
        "denials taken over",
        denials=len(plan.denials),
        kept=len(plan.kept),
        renewed=len(plan.renewed),
        erased=len(plan.erased),
        epoch=change_sequence.epoch,
        sequence=change_sequence.sequence,
        actor=actor,
    )
    return plan


def _suppressions(records: Iterable[JournalRecord]) -> dict[Entry, int]:
    """The suppressions of a subject's lost erasures, with their times."""
    return {parse_entry(record.suppression): record.at_ms for record in records if record.suppression}


def _since_erasure(records: Iterable[JournalRecord]) -> tuple[int, list[JournalRecord]]:
    """When the subject was last erased (0: never), and the records since."""
    erased_ms = 0
    history: list[JournalRecord] = []
    for record in records:
        if record.kind == PermissionChange.Kind.ERASURE:
            erased_ms, history = record.at_ms, []
        else:
            history.append(record)
    return erased_ms, history


def _known_states(customers: Iterable[Customer]) -> Mapping[str, dict[str, KnownState]]:
    """What the database knows of customers, by subject and purpose."""
    customers = list(customers)
    rows = list(CurrentPermission.objects.filter(customer__in=customers).select_related("customer", "purpose"))
    newest = ConsentRecord.objects.filter(sequence__in=[row.newest_decision for row in rows if row.newest_decision])
    decided = dict(newest.values_list("sequence", "decided_at"))
    pauses = ConsentRecord.objects.filter(customer__in=customers, decision__in=PAUSING).order_by("at")
    paused = {(record.customer_id, record.purpose_id): milliseconds(record.at) for record in pauses}
    found: defaultdict[str, dict[str, KnownState]] = defaultdict(dict)
    for row in rows:
        decided_at = decided.get(row.newest_decision or 0)
        found[row.customer.subject][row.purpose.name] = KnownState(
            state_of_row(row),
            milliseconds(decided_at) if decided_at else 0,
            paused.get((row.customer_id, row.purpose_id), 0),
        )
    return found


def _lost_consents(history: Iterable[JournalRecord], known: Mapping[str, KnownState]) -> int:
    final = {name: state for record in history for name, state in record.states.items()}
    return sum(
        state.allowed and not (name in known and known[name].state.grant_id == state.grant_id)
        for name, state in final.items()
    )


def _renewed_grants(plan: TakeOver, wanted: set[tuple[int, str]]) -> list[CurrentPermission]:
    """Grants whose ids may be issued twice, and those that only seem to have lasted. Denied ones are left out."""
    allowed = CurrentPermission.objects.filter(allowed=True).select_related("customer", "purpose")
    rows = list(allowed.filter(grant_id__gte=plan.losses.first)) if plan.losses.first else []
    for keys in batches(sorted({customer for customer, _ in wanted})):
        rows += [row for row in allowed.filter(customer__in=keys) if (row.customer_id, row.purpose.name) in wanted]
    denied = {(customer.pk, purpose.pk) for customer, purpose, denial in plan.denials if not denial.paused}
    erased = {customer.pk for customer in plan.erased}
    unique = {(row.customer_id, row.purpose_id): row for row in rows}
    return [row for key, row in unique.items() if key not in denied and key[0] not in erased]


def _record_denials(writer: ChangeWriter, denials: Iterable[tuple[Customer, Purpose, LostDenial]], actor: str) -> None:
    denials = list(denials)
    evidences = [one for _, _, denial in denials for one in (denial.evidence, denial.newest) if one and one.notice]
    references = {evidence.notice for evidence in evidences}
    notices = {notice.reference: notice for notice in Notice.objects.filter(reference__in=references)}
    for customer, purpose, denial in denials:
        before, evidence = writer.state_of(customer, purpose), denial.evidence
        ended = after_end(before or ConsentState(allowed=False), denial.since_ms)
        if denial.newest:
            add_lost_decision(writer, customer, purpose, denial.newest, ended, REASON, notices)
        writer.add_decision(
            customer,
            purpose,
            denial.decision,
            after_pause(before) if denial.paused else ended,
            denial.since_ms,
            rank=rank_of(denial.decision, denial.decided_ms) if denial.decision in ORDERED else None,
            method=evidence.method if evidence else ConsentRecord.Method.SYSTEM,
            actor=evidence.actor if evidence else actor,
            reason=f"{REASON}; recorded at {moment(denial.recorded_ms).isoformat(timespec='milliseconds')}"
            if evidence
            else f"{REASON}, without evidence: known from the store or a later change",
            notice=notices.get(evidence.notice) if evidence else None,
        )


def _end_erased(writer: ChangeWriter, customers: Iterable[Customer], actor: str) -> None:
    now_ms = milliseconds(writer.change_sequence.at)
    for row in CurrentPermission.objects.filter(customer__in=list(customers), allowed=True).select_related():
        after = after_end(writer.states[row.customer_id, row.purpose_id], now_ms)
        writer.add_decision(
            row.customer, row.purpose, Decision.WITHDRAWN, after, now_ms, method="system", actor=actor, reason=ERASED
        )


def _renew_grants(writer: ChangeWriter, rows: Iterable[CurrentPermission]) -> None:
    now_ms = milliseconds(writer.change_sequence.at)
    by_customer: defaultdict[Customer, list[Purpose]] = defaultdict(list)
    for row in rows:
        by_customer[row.customer].append(row.purpose)
    for customer, purposes in by_customer.items():
        states = {}
        for purpose in purposes:
            before = writer.states[customer.pk, purpose.pk]
            since_ms = max(now_ms + START_DELAY_MS, before.ended_ms + 1)
            states[purpose] = before._replace(grant_id=writer.next_sequence, since_ms=since_ms, complete_from_ms=0)
        writer.add_change(customer, states)
