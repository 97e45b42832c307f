"""Kept denials: lost denials of subjects without a customer, or of purposes not defined yet, until both exist.

A customer who was registered after the backup is unknown to the restored database. Registered again, a purpose that
needs no consent would be allowed although the customer objected to it. So a registration, and the definition of a
purpose, apply what was kept, in their own transaction.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

import msgspec
from django.db.models import QuerySet

from featurestore.clock import milliseconds, moment
from featurestore.consent.change_writer import ChangeWriter
from featurestore.consent.decision_order import ORDERED, rank_of
from featurestore.consent.journal.lost_denials import LostDenial, rank_of_evidence
from featurestore.consent.journal.records import Evidence
from featurestore.consent.models import ConsentRecord, KeptDenial, Notice, Purpose
from featurestore.consent.paused_altogether import customers_paused_altogether
from featurestore.consent.permission_derivation import ConsentState, Decision, after_end, after_pause
from featurestore.customers.models import Customer

REFUSED, PAUSED = "refused", "paused"


def keep_denial(subject: str, denial: LostDenial, actor: str, reason: str) -> None:
    """Keep a denial of a subject, in place of an earlier one of the same purpose."""
    evidence = denial.evidence
    KeptDenial.objects.update_or_create(
        subject=subject,
        purpose=denial.purpose,
        state=PAUSED if denial.paused else REFUSED,
        defaults={
            "decision": denial.decision,
            "decided_at": moment(denial.decided_ms),
            "recorded_at": moment(denial.recorded_ms),
            "since": moment(denial.since_ms),
            "method": evidence.method if evidence else ConsentRecord.Method.SYSTEM,
            "actor": evidence.actor if evidence else actor,
            "notice": evidence.notice if evidence else "",
            "reason": reason,
            "newest": msgspec.to_builtins(denial.newest) if denial.newest else None,
        },
    )


def add_lost_decision(
    writer: ChangeWriter,
    customer: Customer,
    purpose: Purpose,
    evidence: Evidence,
    ended: ConsentState,
    reason: str,
    notices: Mapping[str, Notice],
) -> None:
    """Record a lost decision whose grant is over, for its place in the order, unless a newer one is known."""
    rank = rank_of_evidence(evidence)
    if writer.has_newer_decision(customer, purpose, rank):
        return
    writer.add_decision(
        customer,
        purpose,
        Decision(evidence.decision),
        ended,
        evidence.since_ms,
        rank=rank,
        until_ms=evidence.until_ms,
        method=evidence.method,
        actor=evidence.actor,
        reason=f"{reason}; recorded at {moment(evidence.at_ms).isoformat(timespec='milliseconds')}",
        notice=notices.get(evidence.notice),
    )


class KeptDenials:
    """The kept denials of some rows. ``first_states`` of a customer leaves out what they refuse, ``apply`` adds it."""

    def __init__(self, rows: QuerySet[KeptDenial]):
        self._rows: defaultdict[str, list[KeptDenial]] = defaultdict(list)
        for row in rows.order_by("recorded_at"):
            self._rows[row.subject].append(row)

    def first_states(self, subject: str, states: Mapping[Purpose, ConsentState]) -> dict[Purpose, ConsentState]:
        """The states that a customer begins with, without those of refused purposes."""
        refused = {row.purpose for row in self._rows.get(subject, []) if row.state == REFUSED}
        return {purpose: state for purpose, state in states.items() if purpose.name not in refused}

    def apply(self, writer: ChangeWriter, customer: Customer, purposes: Collection[Purpose]) -> None:
        """Record the kept denials of a customer with their evidence, as far as their purposes are among these."""
        if not (rows := self._rows.get(customer.subject)):
            return
        by_name = {purpose.name: purpose for purpose in purposes}
        applied = []
        for row in rows:
            if purpose := by_name.get(row.purpose):
                before = writer.state_of(customer, purpose)
                if before is None and customers_paused_altogether([customer]):
                    before = ConsentState(allowed=False, paused=True)
                refused = after_end(before or ConsentState(allowed=False), milliseconds(row.since))
                decision = Decision(row.decision)
                newest = msgspec.convert(row.newest, Evidence) if row.newest else None
                references = {row.notice, newest.notice if newest else ""} - {""}
                notices = {notice.reference: notice for notice in Notice.objects.filter(reference__in=references)}
                if newest:
                    add_lost_decision(writer, customer, purpose, newest, refused, row.reason, notices)
                writer.add_decision(
                    customer,
                    purpose,
                    decision,
                    after_pause(before) if row.state == PAUSED else refused,
                    milliseconds(row.since),
                    rank=rank_of(decision, milliseconds(row.decided_at)) if decision in ORDERED else None,
                    method=row.method,
                    actor=row.actor,
                    reason=f"{row.reason}; recorded at {row.recorded_at.isoformat(timespec='milliseconds')}",
                    notice=notices.get(row.notice),
                )
                applied.append(row.pk)
        KeptDenial.objects.filter(pk__in=applied).delete()


def apply_to_new_purpose(writer: ChangeWriter, purpose: Purpose) -> None:
    """Record the kept denials of a purpose that was just defined, for the customers that exist."""
    rows = KeptDenial.objects.filter(purpose=purpose.name)
    customers = Customer.objects.filter(subject__in=rows.values("subject"), erased_at=None)
    kept = KeptDenials(rows)
    for customer in customers:
        kept.apply(writer, customer, [purpose])
