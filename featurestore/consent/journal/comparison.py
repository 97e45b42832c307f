"""Comparison of the database with the journal: does the database hold every change that the journal holds?

Numbers alone do not tell. A restored database issues the lost numbers again, and after as many changes as were lost
they meet. So a change is looked up by its sequence *and* its random token. Two things are compared:

- what this process saw: the database must still hold the newest change that it held before. Sequences are in the order
  of commits, so it then holds all earlier ones too;
- what the journal holds since the checkpoint, which is a row of the database and goes back with it.

While the journal can't be read, a store run and database that were compared before stay compared, as long as the
database holds what this process saw and is the same one by PostgreSQL's system identifier and timeline. A process that
has just started has compared nothing.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection, transaction

from featurestore.clock import database_now
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.journal.appender import append_due
from featurestore.consent.journal.checkpoint import load_checkpoint
from featurestore.consent.journal.topic import Entry, Journal, JournalUnreadable
from featurestore.consent.journal.topic_identity import ComparedTopic, compared_topic
from featurestore.consent.models import JournalCheckpoint, PermissionChange, VerifierLease
from featurestore.consent.vouching.journal_comparison import JournalUnavailable
from featurestore.consent.vouching.lease import name_of
from featurestore.store.protocol import Run

log = structlog.get_logger(__name__)

STEP_S = 0.25
CHECKPOINT_S = 10
READABLE_S = 5.0
"""The journal counts as readable for so long after it was last read to its end."""
IDENTITY_QUERY = """
SELECT system_identifier::text || '/' ||
    CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END
FROM pg_control_system()
"""


class ChangeIdentity(NamedTuple):
    """A change of one history of a database."""

    sequence: int
    token: int

    def is_held(self) -> bool:
        """Whether the database holds it. Then it has lost nothing that came before it either."""
        return PermissionChange.objects.filter(sequence=self.sequence, token=self.token).exists()


class DatabaseState(NamedTuple):
    """What a look at the database found. ``checkpoint``: from where on the journal must be compared."""

    identity: str
    epoch: int
    checkpoint: JournalCheckpoint


class JournalComparer:
    """Comparison of one process. ``step`` is called in a thread of its own; node verifiers call ``is_ahead``.

    Without a journal only what this process saw is compared. ``clock`` counts seconds.
    """

    def __init__(self, journal: Journal | None, clock: Callable[[], float] = time.monotonic):
        self.journal, self.clock = journal, clock
        self._lock = threading.Lock()
        self._lost = ""  # what the database lost
        self._seen: ChangeIdentity | None = None
        self._compared = ""  # identity of the database that was last compared with the whole journal
        self._compared_s = float("-inf")
        self._runs: set[str] = set()  # names of those vouched for while it was compared, by whichever process
        self._topic = ComparedTopic("", 0, 0)  # as this process compared it
        self._epoch = 0
        self._checkpoint_s = clock()
        self._failure = "it was not read yet"

    @property
    def loss(self) -> str:
        """What the database lost; empty if nothing."""
        return self._lost

    def is_ahead(self, run: Run) -> bool:
        """Whether the journal, or this process, knows a change that the database does not hold.

        Raises JournalUnavailable if this run and this database were not compared; DatabaseError.
        """
        with self._lock, _one_server():
            state = self._look()
            if self._lost:
                return True
            if self.journal is None:
                return False
            if self._compared != state.identity:
                raise JournalUnavailable(f"this database was not compared with the journal: {self._failure}")
            if self.clock() < self._compared_s + READABLE_S:
                self._runs.add(name_of(run))
            elif name_of(run) not in self._runs:
                raise JournalUnavailable(f"this run was not compared with the journal: {self._failure}")
            return False

    def step(self) -> None:
        """Append what the journal lacks, then compare what it holds. A failure is logged once and tried again."""
        if self.journal is None:
            return
        try:
            close_old_connections()
            append_due(self.journal)
            self._compare(self.journal)
        except JournalUnreadable as error:
            self._fail(str(error))
        except (DatabaseError, InterfaceError):
            self._fail("the database is unavailable")
        else:
            self._failure = ""

    def _compare(self, journal: Journal) -> None:
        began_s, began = self.clock(), database_now()
        with self._lock, _one_server():
            state = self._look()
            is_known = self._compared == state.identity
            topic = self._topic if is_known else compared_topic(state.checkpoint)
            if self._lost:
                return
        bounds, start = journal.bounds(), topic.offset
        is_due = self.clock() >= self._checkpoint_s + CHECKPOINT_S
        if is_due or not is_known or start != bounds.stop:
            topic_id = journal.topic_id()
            if fault := topic.fault(journal, topic_id, bounds):
                raise JournalUnreadable(f"{journal.name} {fault}. Run: manage.py take_over_denials")
            topic = topic._replace(id=topic_id or topic.id)
        if start < bounds.start:
            self._lose(state, f"its backup is older than the first record of {journal.name}: what it lost is not known")
            return
        for entries in journal.read(range(start, bounds.stop)):
            if lost := lost_entries(entries):
                fence = lost[0].record.fence
                self._lose(state, f"it lacks change {fence[0]}/{fence[1]}, which the journal holds")
                return
            self._see(entries)
            topic = topic._replace(token=entries[-1].record.token)
        with self._lock, _one_server():
            now = self._look()
            if self._lost or now[:2] != state[:2]:
                return  # not the database that was compared: the next step compares it
            if self._compared != state.identity:
                self._runs.clear()
            self._compared, self._compared_s = state.identity, began_s
            self._topic = topic._replace(offset=bounds.stop)
            if is_due:
                rows = JournalCheckpoint.objects.filter(topic=journal.name, offset__lte=bounds.stop)
                rows.update(
                    topic_id=topic.id, offset=self._topic.offset, last_token=self._topic.token, compared_at=began
                )
                self._runs |= _vouched_runs()
                self._checkpoint_s = self.clock()

    def _look(self) -> DatabaseState:
        """Look at the database: does it still hold what this process saw? A higher epoch is the operator's decision."""
        epoch = load_change_sequence().epoch
        state = DatabaseState(database_identity(), epoch, load_checkpoint(self.journal.name if self.journal else ""))
        if epoch > self._epoch:
            self._epoch = epoch
            self._lost, self._seen, self._compared, self._checkpoint_s = "", None, "", float("-inf")
        newest = PermissionChange.objects.order_by("-sequence").values_list("sequence", "token").first()
        if not self._lost:
            if epoch < self._epoch:
                self._note_loss(f"its epoch was {self._epoch} and is {epoch}")
            elif self._seen and newest != self._seen and not self._seen.is_held():
                self._note_loss(f"it does not hold change {self._seen.sequence} any more, which it held before")
            elif newest:
                self._seen = ChangeIdentity(*newest)
        return state

    def _see(self, entries: Sequence[Entry]) -> None:
        """Remember the newest of some changes that the database holds."""
        newest = max(ChangeIdentity(entry.record.sequence, entry.record.token) for entry in entries)
        with self._lock:
            if self._seen is None or newest.sequence > self._seen.sequence:
                self._seen = newest

    def _lose(self, state: DatabaseState, what: str) -> None:
        with self._lock:
            if state.epoch == self._epoch:  # else an operator has decided meanwhile
                self._note_loss(what)

    def _note_loss(self, what: str) -> None:
        self._lost = what
        log.error("the database lost changes: reads are denied. Run: manage.py take_over_denials", reason=what)

    def _fail(self, why: str) -> None:
        if why != self._failure:
            log.warning("the consent journal can't be appended to or compared", reason=why)
        self._failure = why


def lost_entries(entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose change the database does not hold. It holds those since its checkpoint, however old."""
    sequences = {entry.record.sequence for entry in entries}
    rows = PermissionChange.objects.filter(sequence__in=sequences).values_list("sequence", "token")
    held = set(rows)
    return [entry for entry in entries if (entry.record.sequence, entry.record.token) not in held]


def _vouched_runs() -> set[str]:
    """The runs that the holder of the verifier lease vouched for last: a process that stands by compares for them."""
    return {name for runs in VerifierLease.objects.values_list("vouched_runs", flat=True) for name in runs.split()}


def database_identity() -> str:
    """PostgreSQL's system identifier and timeline: a promoted replica has another. SQLite has none."""
    if connection.vendor != "postgresql":
        return connection.vendor
    with connection.cursor() as cursor:
        cursor.execute(IDENTITY_QUERY)
        return str(cursor.fetchone()[0])


@contextmanager
def _one_server() -> Iterator[None]:
    """Several queries at one server, also behind a proxy that would lead to another after a fail-over."""
    with transaction.atomic() if connection.vendor == "postgresql" else nullcontext():
        yield
