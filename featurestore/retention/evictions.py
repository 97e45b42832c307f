"""Evictions: the values of idle subjects leave the store, so that its memory holds those who are served.

A subject is idle if its values counted no event, and the access log has no read of it, since a time. Its permission
stays, with a mark by which reads answer `stale` and ask for the values (featurestore.accesslog.consumer); the streams
push them again from their tables. A run goes through the subjects in parts, by the first digits of a subject, and
continues after a crash with the part that it had come to. To evict twice changes nothing.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import structlog
from django.db import IntegrityError, transaction

from featurestore.accesslog.models import AccessRecord
from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent.models import SubjectVersion
from featurestore.jobs.job_leases import HeldJobLease, hold_job_lease
from featurestore.retention.errors import RunUnfinished, WrongDays
from featurestore.retention.models import EvictionRun
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable

PART_DIGITS = 3
PARTS = 16**PART_DIGITS
PAGE_SUBJECTS = 500
CALL_SUBJECTS = 20_000
"""Subjects after which a call ends; the next one continues."""
EVERY = timedelta(days=1)
KEPT = timedelta(days=90)
LEASE, LEASE_S = "retention.evict", 120
LONGEST_DAYS = 36_500

log = structlog.get_logger(__name__)


def start(idle_days: int, *, dry_run: bool, actor: str, now: datetime | None = None) -> EvictionRun:
    """Start a run, which the next calls of ``evict_due`` carry out. Raises RetentionError."""
    if not 1 <= idle_days <= LONGEST_DAYS:
        raise WrongDays(f"State a number of days, 1 to {LONGEST_DAYS:,}.")
    try:
        with transaction.atomic():
            return EvictionRun.objects.create(
                started_at=now or database_now(), started_by=actor[:150], dry_run=dry_run, idle_days=idle_days
            )
    except IntegrityError:
        raise RunUnfinished("Another run has not ended. Start this one when it has.") from None


def evict_due(now: datetime | None = None, most_subjects: int = CALL_SUBJECTS) -> EvictionRun | None:
    """Continue a run that has not ended, or the one that is due each day; None if there is none, or another process
    does so."""
    with hold_job_lease(LEASE, LEASE_S, now) as lease:
        if lease is None:
            return None
        at = now or database_now()
        run = EvictionRun.objects.filter(finished_at=None).order_by("pk").first() or _due_run(at)
        if run is not None:
            _advance(run, lease, most_subjects, now)
        return run


def _due_run(at: datetime) -> EvictionRun | None:
    days = settings().idle_subject_days
    if not days or EvictionRun.objects.filter(dry_run=False, started_at__gt=at - EVERY).exists():
        return None
    EvictionRun.objects.filter(started_at__lt=at - KEPT).delete()
    return start(days, dry_run=False, actor="", now=at)


def _advance(run: EvictionRun, lease: HeldJobLease, most_subjects: int, now: datetime | None) -> None:
    before = run.subjects
    try:
        while run.subjects - before < most_subjects:
            part = _part_from(run.next_part)
            if part is None:
                _finish(run, now or database_now())
                return
            for subjects in _pages(part):
                if not lease.renew():
                    return
                _evict(run, subjects)
            run.next_part, run.error = part + 1, ""
            run.save(update_fields=["next_part", "error"])
    except StoreUnavailable as error:
        run.error = f"The store does not answer: {error}"[:300]
        run.save(update_fields=["error"])
        log.warning("eviction run waits", run=run.pk, reason=run.error)


def _part_from(number: int) -> int | None:
    """The next part that has a subject; None if there is none."""
    if number >= PARTS:
        return None
    found = SubjectVersion.objects.filter(subject__gte=f"{number:0{PART_DIGITS}x}").order_by("subject")
    subject = found.values_list("subject", flat=True).first()
    return None if subject is None else int(subject[:PART_DIGITS], 16)


def _pages(part: int) -> Iterator[Sequence[str]]:
    """The subjects of a part, in pages."""
    prefix = f"{part:0{PART_DIGITS}x}"
    last, rows = "", SubjectVersion.objects.filter(subject__startswith=prefix).order_by("subject")
    while page := list(rows.filter(subject__gt=last).values_list("subject", flat=True)[:PAGE_SUBJECTS]):
        yield page
        last = page[-1]


def _evict(run: EvictionRun, subjects: Sequence[str]) -> None:
    """Evict the idle ones of some subjects, and count them."""
    store, idle_since = configured.store(), run.started_at - timedelta(days=run.idle_days)
    idle_since_s = int(idle_since.timestamp())
    sizes = zip(subjects, store.evict(subjects, idle_since_s, dry_run=True), strict=True)
    idle = {subject: size for subject, size in sizes if size}
    records = AccessRecord.objects.filter(subject__in=idle, at__gte=idle_since)
    read = set(records.values_list("subject", flat=True).distinct())
    chosen = [subject for subject in idle if subject not in read]
    freed = [idle[subject] for subject in chosen] if run.dry_run else store.evict(chosen, idle_since_s)
    run.subjects += len(subjects)
    run.kept_read += len(read)
    run.evicted += sum(bool(size) for size in freed)
    run.freed_bytes += sum(size or 0 for size in freed)
    run.save(update_fields=["subjects", "kept_read", "evicted", "freed_bytes"])


def _finish(run: EvictionRun, at: datetime) -> None:
    run.finished_at, run.error = at, ""
    run.save(update_fields=["finished_at", "error"])
    log.info("eviction run ended", run=run.pk, dry_run=run.dry_run, idle_days=run.idle_days, subjects=run.subjects,
             evicted=run.evicted, freed_bytes=run.freed_bytes, kept_read=run.kept_read)  # fmt: skip
