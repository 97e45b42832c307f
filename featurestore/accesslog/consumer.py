"""The only writer of access records, their gaps and requests per client: from the stream into the database.

A page of batches is written in one transaction, which locks the rows of their processes, and then deleted from the
stream. Whatever comes twice (a collector died between the two, a sender heard no answer, the control Redis lost its
last second, two collectors read the same page) is known by the batch's number, and passed over.
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
from featurestore.accesslog.batches import BadBatch, Batch, Kind, decode, encode
from featurestore.accesslog.models import AccessGap, AccessKind, AccessProcess, AccessRecord
from featurestore.accesslog.stream import Entry, RecordStream, StreamAway, opened
from featurestore.clock import database_now, moment
from featurestore.config import settings
from featurestore.jobs.leases import hold_lease

ENTRIES_A_PAGE = 50
PAGES_AT_ONCE = 400
LEASE_S = 10.0
SILENT_MS = 10_000
"""A process says a word a second. Silent for so long in a stream that is read to its end, it has vanished."""
FORGOTTEN_A_TIME = 5000
TIMES_AT_ONCE = 400
RECORDS_A_PROCESS = 2**40
ROWS = 1000

State, Reason = AccessProcess.State, AccessGap.Reason
log = structlog.get_logger(__name__)


class Heard(NamedTuple):
    """A batch, and when the control Redis took it."""

    at_ms: int
    batch: Batch


def collect_waiting() -> None:
    """Collect from this installation's stream; while it is away there is nothing to do but wait."""
    try:
        with opened() as stream:
            collect(stream)
    except StreamAway as error:
        log.warning("access records not collected", reason=str(error))


def collect(stream: RecordStream, now: datetime | None = None) -> int:
    """Write what has come since, and miss who has vanished; how many entries were read. Raises StreamAway.

    Harmless where two do it at once: the lease only spares the second one the work.
    """
    with hold_lease("accesslog.collect", LEASE_S, now) as held:
        read = 0
        if held is None:
            return read
        for _ in range(PAGES_AT_ONCE):
            redis_ms, running_ms = stream.clock()  # before the look: what was said until then is behind us after it
            entries = stream.oldest(ENTRIES_A_PAGE)
            _write_page(stream, entries)
            read += len(entries)
            if len(entries) < ENTRIES_A_PAGE:
                if running_ms > SILENT_MS:  # one that has just come back has heard of nobody yet
                    miss(redis_ms - SILENT_MS, now or database_now())
                break
            if not held.renew():
                break
        return read


def _write_page(stream: RecordStream, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    heard, unreadable = dict[bytes, Heard](), list[Entry]()
    for entry in entries:
        try:
            heard[entry.id] = Heard(entry.added_ms, decode(entry.raw))
        except BadBatch as error:
            log.error("access records put aside: no batch", entry=entry.id.decode(), reason=str(error))
            unreadable.append(entry)
    try:
        write(list(heard.values()))
    except DataError:  # one of them can't be stored, and must not keep the others out
        refused = [entry for entry in entries if entry.id in heard and not _stored(entry, heard[entry.id])]
        unreadable += refused
    if unreadable:
        stream.put_aside(unreadable)
    stream.delete([entry.id for entry in entries])


def _stored(entry: Entry, heard: Heard) -> bool:
    try:
        write([heard])
    except DataError as error:
        log.error("access records put aside: refused", entry=entry.id.decode(), reason=type(error).__name__)
        return False
    return True


@transaction.atomic
def write(heard: Sequence[Heard]) -> None:
    """Write batches, in the order in which each process made its own. Those that are written are passed over."""
    processes = _locked(heard)
    new = [batch for at_ms, batch in heard if _advance(processes[batch.process], at_ms, batch)]
    ids = _ids_of([kind for batch in new for kind in batch.kinds])
    records = [record for batch in new for record in _records(processes[batch.process], batch, ids)]
    AccessRecord.objects.bulk_create(records, ROWS, ignore_conflicts=True)
    _count(new)
    told = ["batch", "next_record", "complete_to", "heard_ms", "state"]
    AccessProcess.objects.bulk_update(processes.values(), told)


def _locked(heard: Iterable[Heard]) -> dict[str, AccessProcess]:
    """The rows of processes, made where a process is new, locked in an order that all keep to."""
    begun = {batch.process: moment(batch.begun_ms) for _, batch in heard}
    rows = AccessProcess.objects.select_for_update().filter(name__in=begun).order_by("name")
    known = {row.name: row for row in rows}
    if new := begun.keys() - known.keys():
        made = (AccessProcess(name=name, complete_to=begun[name], heard_ms=0) for name in sorted(new))
        AccessProcess.objects.bulk_create(made, ignore_conflicts=True)
        known = {row.name: row for row in rows.all()}
    return known


def _advance(process: AccessProcess, at_ms: int, batch: Batch) -> bool:
    """Whether a batch is new; the process is then as far as it, and what is missing before it is a gap."""
    process.heard_ms = max(process.heard_ms, at_ms)
    new = batch.number > process.batch
    if process.state == State.VANISHED and (new or batch.number == 0):
        # It was silent and lives: its numbers will tell what is missing, if anything is.
        AccessGap.objects.filter(process=process, reason=Reason.VANISHED).delete()
        process.state = State.AT_WORK
    if new:
        if missing := max(batch.first - process.next_record, 0):
            _miss(process, Reason.LOST, missing, moment(batch.made_ms))
        process.batch, process.next_record = batch.number, max(batch.next, process.next_record)
        process.state = State.ENDED if batch.ended else State.AT_WORK
    if batch.first == process.next_record or new:
        process.complete_to = moment(batch.made_ms)
    return new


def miss(before_ms: int, now: datetime) -> None:
    """Note that processes have vanished which the control Redis has not heard of since a time of its clock."""
    with transaction.atomic():
        silent = AccessProcess.objects.select_for_update().filter(state=State.AT_WORK, heard_ms__lt=before_ms)
        for process in silent.order_by("name"):
            _miss(process, Reason.VANISHED, None, now)
            process.state = State.VANISHED
            process.save()


def _miss(process: AccessProcess, reason: AccessGap.Reason, missing: int | None, at: datetime) -> None:
    """Note a gap between what a process is complete to and a time; either is later where its clock was set."""
    AccessGap.objects.create(
        process=process,
        reason=reason,
        first=process.next_record,
        missing=missing,
        since=min(process.complete_to, at),
        until=max(process.complete_to, at),
    )
    log.error("access records missing", process=process.name, reason=reason, first=process.next_record, missing=missing)


def _records(process: AccessProcess, batch: Batch, ids: Mapping[str, int]) -> Iterator[AccessRecord]:
    kinds = [ids[_digest(kind)] for kind in batch.kinds]
    for number, read in enumerate(batch.reads, batch.first):
        yield AccessRecord(
            id=process.pk * RECORDS_A_PROCESS + number,
            kind_id=kinds[read.kind],
            subject=read.subject,
            at=moment(read.at_ms),
            request_id=read.request_id,
        )


def _ids_of(kinds: Iterable[Kind]) -> dict[str, int]:
    """The rows of kinds by their digest, made where they are new."""
    wanted = {_digest(kind): kind for kind in kinds}
    rows = AccessKind.objects.filter(digest__in=wanted).values_list("digest", "pk")
    known = dict(rows)
    if new := wanted.keys() - known.keys():
        made = (AccessKind(digest=digest, **asdict(wanted[digest])) for digest in sorted(new))
        AccessKind.objects.bulk_create(made, ignore_conflicts=True)
        known = dict(rows.all())
    return known


def _digest(kind: Kind) -> str:
    return sha256(encode(kind)).hexdigest()[:32]


def _count(batches: Iterable[Batch]) -> None:
    """Add requests to their clients' hours."""
    counts = Counter[tuple[str, datetime, str, int]]()
    for batch in batches:
        hour = moment(batch.made_ms).replace(minute=0, second=0, microsecond=0)
        for client, route, status, count in map(astuple, batch.requests):
            counts[client, hour, route, status] += count
    usage.add_requests(counts)


def prune(now: datetime | None = None) -> int:
    """Forget what was read longer ago than it is kept, in small deletions; how many records."""
    before, forgotten = (now or database_now()) - timedelta(days=settings().access_record_days), 0
    for _ in range(TIMES_AT_ONCE):
        old = AccessRecord.objects.filter(at__lt=before).order_by("at").values_list("pk", flat=True)
        deleted, _by_model = AccessRecord.objects.filter(pk__in=list(old[:FORGOTTEN_A_TIME])).delete()
        forgotten += deleted
        if deleted < FORGOTTEN_A_TIME:
            break
    usage.prune(before)
    AccessGap.objects.filter(until__lt=before).delete()
    gone = AccessProcess.objects.exclude(state=State.AT_WORK).filter(complete_to__lt=before, gaps=None)
    gone.delete()
    unused = ~Exists(AccessRecord.objects.filter(kind=OuterRef("pk")))
    AccessKind.objects.filter(unused, made_at__lt=before).delete()
    return forgotten
