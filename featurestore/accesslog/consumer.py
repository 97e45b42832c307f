"""Consumer of the access log, from the stream into the database. Only it writes records, gaps and requests per client.

1. Read a page of entries, the oldest first.
2. Write its batches in one transaction, which locks the rows of their processes.
3. Delete the entries from the stream.

When the stream is read, the values of evicted subjects that the batches name are requested from the streams.

A batch may arrive twice: a consumer died between 2 and 3, a process got no answer and sent it again, the control Redis
lost its last second, or two consumers read the same page. Its number shows that it is stored, and it is ignored.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

import structlog
from django.db import DataError, transaction
from django.db.models import Exists, OuterRef
from msgspec.structs import asdict, astuple

from featurestore.access import usage
from featurestore.accesslog.batches import BadBatch, Batch, BatchContext, decode, encode
from featurestore.accesslog.models import AccessGap, AccessRecord, ReadContext, WriterProcess
from featurestore.accesslog.stream import RecordStream, StreamEntry, StreamUnavailable, open_stream
from featurestore.clock import database_now, moment
from featurestore.config import settings
from featurestore.consent.outbox.value_requests import value_requests
from featurestore.customers.selectors import held_subjects
from featurestore.jobs.job_leases import hold_job_lease

PAGE_ENTRIES = 50
MAX_PAGES = 400
LEASE_S = 10.0
VANISHED_AFTER_MS = 10_000
"""A process sends a heartbeat a second. Without one for so long, and the stream read to its end, it has vanished."""
PRUNE_ROWS = 5000
MAX_PRUNE_ROUNDS = 400
RECORDS_PER_PROCESS = 2**40
INSERT_ROWS = 1000

State, Reason = WriterProcess.State, AccessGap.Reason
log = structlog.get_logger(__name__)


class ReceivedBatch(NamedTuple):
    """A batch, and when the control Redis received it."""

    received_ms: int
    batch: Batch


def consume_pending() -> None:
    """Consume this installation's stream. While the control Redis is unavailable, log it: the entries wait there."""
    try:
        with open_stream() as stream:
            consume(stream)
    except StreamUnavailable as error:
        log.warning("access records not consumed", reason=str(error))


def consume(stream: RecordStream, now: datetime | None = None) -> int:
    """Write the stream's batches, and gaps of vanished processes; the number of entries. Raises StreamUnavailable.

    Two consumers may run at once: the job lease only spares the second one the work.
    """
    read, evicted = 0, dict[str, None]()
    with hold_job_lease("accesslog.consume", LEASE_S, now) as held:
        if held is None:
            return read
        for _ in range(MAX_PAGES):
            redis_ms, uptime_ms = stream.server_time()  # before the read: it returns all heartbeats sent until then
            entries = stream.oldest(PAGE_ENTRIES)
            evicted |= dict.fromkeys(_write_page(stream, entries))
            read += len(entries)
            if len(entries) < PAGE_ENTRIES:
                if uptime_ms > VANISHED_AFTER_MS:  # after a restart, Redis has not yet received every heartbeat
                    mark_vanished(redis_ms - VANISHED_AFTER_MS, now or database_now())
                break
            if not held.renew():
                break
    if evicted:
        value_requests().send(evicted)
    return read


def _write_page(stream: RecordStream, entries: Sequence[StreamEntry]) -> Iterable[str]:
    """Write a page of entries; the evicted subjects that were read."""
    if not entries:
        return ()
    received, quarantined = dict[bytes, ReceivedBatch](), list[StreamEntry]()
    for entry in entries:
        try:
            received[entry.id] = ReceivedBatch(entry.added_ms, decode(entry.raw))
        except BadBatch as error:
            log.error("access records quarantined: no batch", entry=entry.id.decode(), reason=str(error))
            quarantined.append(entry)
    try:
        write(list(received.values()))
    except DataError:  # a batch can't be stored, and must not stop the others
        refused = [entry for entry in entries if entry.id in received and not _try_write(entry, received[entry.id])]
        quarantined += refused
    if quarantined:
        stream.quarantine(quarantined)
    stream.delete([entry.id for entry in entries])
    return [subject for one in received.values() for subject in one.batch.evicted]


def _try_write(entry: StreamEntry, received: ReceivedBatch) -> bool:
    try:
        write([received])
    except DataError as error:
        log.error("access records quarantined: refused", entry=entry.id.decode(), reason=type(error).__name__)
        return False
    return True


@transaction.atomic
def write(received: Sequence[ReceivedBatch]) -> None:
    """Write batches; those of a process come in the order of their numbers. Batches that are stored are ignored."""
    processes = _locked_processes(received)
    new = [batch for received_ms, batch in received if _advance(processes[batch.process], received_ms, batch)]
    ids = _context_ids([context for batch in new for context in batch.contexts])
    records = [record for batch in new for record in _records(processes[batch.process], batch, ids)]
    AccessRecord.objects.bulk_create(records, INSERT_ROWS, ignore_conflicts=True)
    _count_requests(new)
    changed = ["last_batch", "next_record", "complete_until", "last_seen_ms", "state"]
    WriterProcess.objects.bulk_update(processes.values(), changed)


def _locked_processes(received: Iterable[ReceivedBatch]) -> dict[str, WriterProcess]:
    """The rows of processes by name, created for new ones. All consumers lock them in the same order."""
    started = {batch.process: moment(batch.started_ms) for _, batch in received}
    rows = WriterProcess.objects.select_for_update().filter(name__in=started).order_by("name")
    known = {row.name: row for row in rows}
    if new := started.keys() - known.keys():
        created = (WriterProcess(name=name, complete_until=started[name], last_seen_ms=0) for name in sorted(new))
        WriterProcess.objects.bulk_create(created, ignore_conflicts=True)
        known = {row.name: row for row in rows.all()}
    return known


def _advance(process: WriterProcess, received_ms: int, batch: Batch) -> bool:
    """Whether a batch is new. If so, move the process past it, and record a gap for records missing before it."""
    process.last_seen_ms = max(process.last_seen_ms, received_ms)
    new = batch.number > process.last_batch
    if process.state == State.VANISHED and (new or batch.number == 0):
        # The process was only slow: from now on its numbers show what is missing, if anything is.
        AccessGap.objects.filter(process=process, reason=Reason.VANISHED).delete()
        process.state = State.RUNNING
    if new:
        if missing := max(batch.first - process.next_record, 0):
            _record_gap(process, Reason.LOST, missing, moment(batch.created_ms))
        process.last_batch, process.next_record = batch.number, max(batch.next, process.next_record)
        process.state = State.ENDED if batch.shutdown else State.RUNNING
    if batch.first == process.next_record or new:
        process.complete_until = moment(batch.created_ms)
    return new


def mark_vanished(before_ms: int, now: datetime) -> None:
    """Mark running processes as vanished that the control Redis last received before a time of its clock."""
    with transaction.atomic():
        overdue = WriterProcess.objects.select_for_update().filter(state=State.RUNNING, last_seen_ms__lt=before_ms)
        for process in overdue.order_by("name"):
            _record_gap(process, Reason.VANISHED, None, now)
            process.state = State.VANISHED
            process.save()


def _record_gap(process: WriterProcess, reason: AccessGap.Reason, missing: int | None, at: datetime) -> None:
    """Record a gap between ``complete_until`` and a time. Either may be the later one: a process's clock can be set."""
    AccessGap.objects.create(
        process=process,
        reason=reason,
        first=process.next_record,
        missing=missing,
        since=min(process.complete_until, at),
        until=max(process.complete_until, at),
    )
    log.error("access gap", process=process.name, reason=reason, first=process.next_record, missing=missing)


def _records(process: WriterProcess, batch: Batch, ids: Mapping[str, int]) -> Iterator[AccessRecord]:
    context_ids = [ids[_digest(context)] for context in batch.contexts]
    for number, read in enumerate(batch.reads, batch.first):
        yield AccessRecord(
            id=process.pk * RECORDS_PER_PROCESS + number,
            context_id=context_ids[read.context],
            subject=read.subject,
            at=moment(read.at_ms),
            request_id=read.request_id,
        )


def _context_ids(contexts: Iterable[BatchContext]) -> dict[str, int]:
    """Ids of read contexts by digest. New contexts are created."""
    wanted = {_digest(context): context for context in contexts}
    rows = ReadContext.objects.filter(digest__in=wanted).values_list("digest", "pk")
    known = dict(rows)
    if new := wanted.keys() - known.keys():
        created = (ReadContext(digest=digest, **asdict(wanted[digest])) for digest in sorted(new))
        ReadContext.objects.bulk_create(created, ignore_conflicts=True)
        known = dict(rows.all())
    return known


def _digest(context: BatchContext) -> str:
    return sha256(encode(context)).hexdigest()[:32]


def _count_requests(batches: Iterable[Batch]) -> None:
    """Add the batches' requests to their clients and hours."""
    counts = Counter[tuple[str, datetime, str, int]]()
    for batch in batches:
        hour = moment(batch.created_ms).replace(minute=0, second=0, microsecond=0)
        for client, route, status, count in map(astuple, batch.requests):
            counts[client, hour, route, status] += count
    usage.add_requests(counts)


def prune(now: datetime | None = None) -> int:
    """Delete all that is older than the retention time, but for what a legal hold keeps, in small transactions; the
    number of records.
    """
    at, pruned = now or database_now(), 0
    before, held = at - timedelta(days=settings().access_record_days), held_subjects("access_records", at)
    for _ in range(MAX_PRUNE_ROUNDS):
        old = AccessRecord.objects.filter(at__lt=before).exclude(subject__in=held).order_by("at")
        keys = list(old.values_list("pk", flat=True)[:PRUNE_ROWS])
        deleted, _by_model = AccessRecord.objects.filter(pk__in=keys).delete()
        pruned += deleted
        if deleted < PRUNE_ROWS:
            break
    usage.prune(before)
    AccessGap.objects.filter(until__lt=before).delete()
    stopped = WriterProcess.objects.exclude(state=State.RUNNING).filter(complete_until__lt=before, gaps=None)
    stopped.delete()
    unused = ~Exists(AccessRecord.objects.filter(context=OuterRef("pk")))
    ReadContext.objects.filter(unused, created_at__lt=before).delete()
    return pruned
