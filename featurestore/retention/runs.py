"""Runs of retention rules: each day every rule in force is applied, or by hand in a dry run.

A run goes through its rows in pages, in the order of their keys, and continues after a crash with the row after which
it stopped. What a legal hold keeps stays, and is counted. Customers are not deleted here: an erasure is started for
each (featurestore.requests.erasure), which goes its own way, certificate and suppression included.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.db import IntegrityError, transaction

from featurestore.accesslog.models import AccessRecord
from featurestore.accesslog.services import delete_records
from featurestore.clock import database_now
from featurestore.customers.selectors import active_holds, held_subjects
from featurestore.jobs.job_leases import hold_job_lease
from featurestore.requests.erasure.starting import start_ended
from featurestore.retention.errors import RunUnfinished, WrongRule
from featurestore.retention.inactivity import Verdict, quiet_customers, verdicts
from featurestore.retention.models import RetentionRule, RetentionRun
from featurestore.retention.rules import APPLIED, in_force
from featurestore.store.protocol import StoreUnavailable

LEASE, LEASE_S = "retention.run", 120
PAGE_READS, PAGE_CUSTOMERS = 5_000, 100
PAGES_PER_CALL = 20
MOST_ERASURES = 100
"""Erasures that one run starts: the rest is left to the next day's."""
EVERY, KEPT = timedelta(days=1), timedelta(days=730)

log = structlog.get_logger(__name__)
Kind = RetentionRule.Kind


def start(rule: RetentionRule, *, dry_run: bool, actor: str = "", now: datetime | None = None) -> RetentionRun:
    """Start a run of a rule, which the next calls of ``apply_due`` carry out. Raises RetentionError."""
    at = now or database_now()
    if rule.kind not in APPLIED or rule.days is None:
        raise WrongRule("Nothing is applied by this rule: Kafka, a setting or a definition does it.")
    if not dry_run and not in_force(at.date()).filter(pk=rule.pk).exists():
        raise WrongRule("The rule is not in force: only a dry run is possible.")
    try:
        with transaction.atomic():
            return RetentionRun.objects.create(
                rule=rule, started_at=at, started_by=actor[:150], dry_run=dry_run, before=at - timedelta(days=rule.days)
            )
    except IntegrityError:
        raise RunUnfinished("Another run of this rule has not ended. Start this one when it has.") from None


def apply_due(now: datetime | None = None) -> RetentionRun | None:
    """Continue a run that has not ended, or the one of a rule that is due today; None if there is none, or another
    process does so."""
    with hold_job_lease(LEASE, LEASE_S, now) as lease:
        if lease is None:
            return None
        at = now or database_now()
        run = RetentionRun.objects.filter(finished_at=None).select_related("rule").order_by("pk").first()
        run = run or _due_run(at)
        if run is not None and not run.dry_run and not in_force(at.date()).filter(pk=run.rule_id).exists():
            run.finished_at, run.error = at, "The rule was ended, or replaced, before the run had ended."
            run.save()
        elif run is not None:
            _advance(run, at, lease.renew)
        return run


def _due_run(at: datetime) -> RetentionRun | None:
    """The run of a rule that had none for a day."""
    done = RetentionRun.objects.filter(dry_run=False, started_at__gt=at - EVERY).values("rule")
    rule = in_force(at.date()).filter(kind__in=APPLIED).exclude(pk__in=done).order_by("pk").first()
    if rule is None:
        return None
    RetentionRun.objects.filter(started_at__lt=at - KEPT).delete()
    return start(rule, dry_run=False, now=at)


def _advance(run: RetentionRun, at: datetime, renew: Callable[[], bool]) -> None:
    apply = {Kind.READS: _delete_reads, Kind.CUSTOMERS: _erase_customers}[Kind(run.rule.kind)]
    try:
        for _ in range(PAGES_PER_CALL):
            if not renew():
                return
            is_last = apply(run, at)
            run.error = ""
            if is_last:
                run.finished_at = at
            run.save()
            if is_last:
                log.info("retention run ended", run=run.pk, kind=run.rule.kind, dry_run=run.dry_run, gone=run.gone,
                         held=run.held, undecided=run.undecided)  # fmt: skip
                return
    except StoreUnavailable as error:
        run.error = f"The store does not answer: {error}"[:300]
        run.save()
        log.warning("retention run waits", run=run.pk, reason=run.error)


def _delete_reads(run: RetentionRun, at: datetime) -> bool:
    """Delete a page of the access records of reads for a purpose; whether it was the last."""
    rows = AccessRecord.objects.filter(context__purpose=run.rule.name, at__lt=run.before, pk__gt=run.next_key)
    page = list(rows.order_by("pk").values_list("pk", "subject")[:PAGE_READS])
    held = held_subjects("access_records", at)
    going = [key for key, subject in page if subject not in held]
    run.held += len(page) - len(going)
    run.gone += len(going) if run.dry_run else delete_records(going)
    run.next_key = page[-1][0] if page else run.next_key
    return len(page) < PAGE_READS


def _erase_customers(run: RetentionRun, at: datetime) -> bool:
    """Start the erasure of a page of customers of a region without activity; whether it was the last."""
    rows = quiet_customers(run.rule.name, run.before).filter(pk__gt=run.next_key)
    page = list(rows.order_by("pk")[:PAGE_CUSTOMERS])
    held = set(active_holds(at).values_list("subject", flat=True))
    free = [customer for customer in page if customer.subject not in held]
    run.held += len(page) - len(free)
    found = verdicts([customer.subject for customer in free], int(run.before.timestamp())) if free else []
    run.undecided += found.count(Verdict.UNKNOWN)
    for customer, verdict in zip(free, found, strict=True):
        if verdict is Verdict.INACTIVE:
            if run.dry_run:
                run.gone += 1
            elif run.gone >= MOST_ERASURES:
                return True
            elif start_ended(customer.customer_id, str(run.rule), at) is not None:
                run.gone += 1
    run.next_key = page[-1].pk if page else run.next_key
    return len(page) < PAGE_CUSTOMERS
