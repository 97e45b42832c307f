"""What a database lost: the journal's records and the store's permissions that it does not hold. Nothing is changed."""

from collections import defaultdict
from dataclasses import dataclass, field

from featurestore.clock import database_now, milliseconds
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.journal.checkpoint import load_checkpoint
from featurestore.consent.journal.comparison import lost_entries
from featurestore.consent.journal.records import JournaledState, JournalRecord
from featurestore.consent.journal.topic import Journal
from featurestore.consent.models import PermissionChange, SubjectVersion
from featurestore.identity import is_subject
from featurestore.jobs.batches import BATCH_SIZE, batches
from featurestore.permission import Permission
from featurestore.store.protocol import OnlineStore

READ_TIMEOUT_MS = 5000


class JournalGap(Exception):
    """The journal does not hold all that happened since the database's last comparison; the message says what lacks."""


@dataclass
class Losses:
    """What was lost, by subject, in order. ``journal_end``: the offset up to which the journal was read.

    ``highest``: the highest (epoch, sequence) found anywhere. ``first``: the first sequence that was lost; 0: none.
    ``unknown``: subjects that the store holds and the database does not know.
    """

    records: defaultdict[str, list[JournalRecord]] = field(default_factory=lambda: defaultdict(list))
    unknown: set[str] = field(default_factory=set)
    first: int = 0
    highest: tuple[int, int] = (0, 0)
    latched_epoch: int = 0  # the highest for which a node of the store is latched
    journal_end: int | None = None
    journal_is_incomplete: bool = False

    def add(self, record: JournalRecord) -> None:
        history = self.records[record.subject]
        if all(record.token != other.token for other in history):
            history.append(record)
        self.first = min(self.first or record.sequence, record.sequence)
        self.highest = max(self.highest, record.fence)


def find_losses(journal: Journal | None, store: OnlineStore | None, *, accept_gap: bool = False) -> Losses:
    """Compare the database with the journal since the checkpoint and with the store. None: it is left out.

    Raises JournalUnreadable, StoreUnavailable, and JournalGap unless the operator accepts it.
    """
    losses = Losses()
    if journal:
        _read_journal(losses, journal, accept_gap)
    for history in losses.records.values():
        history.sort(key=lambda record: record.fence)
    if store:
        _read_store(losses, store)
    return losses


def _read_journal(losses: Losses, journal: Journal, accept_gap: bool) -> None:
    bounds, start = journal.bounds(), load_checkpoint(journal.name).offset
    losses.journal_is_incomplete = start > bounds.stop
    if not bounds.start <= start <= bounds.stop:
        if not accept_gap:
            raise JournalGap(
                f"{journal.name} holds offsets {bounds.start} to {bounds.stop}, and the database was compared up to "
                f"{start}. " + ("It lost records, or was made anew." if losses.journal_is_incomplete else
                                "The records between have expired: denials among them can't be taken over.")
            )  # fmt: skip
        start = bounds.stop if losses.journal_is_incomplete else bounds.start
    for entries in journal.read(range(start, bounds.stop)):
        for _, record in lost_entries(entries):
            losses.add(record)
    losses.journal_end = bounds.stop


def _read_store(losses: Losses, store: OnlineStore) -> None:
    """Compare the store's permissions. The store is read first: what it holds was committed before."""
    epoch, now_ms = load_change_sequence().epoch, milliseconds(database_now())
    for node in store.nodes():
        record = node.vouching_record()
        numbers = [(claim.epoch, claim.sequence) for claim in (record.claim, record.highest) if claim]
        losses.latched_epoch = max(losses.latched_epoch, record.latched_epoch)
        losses.highest = max(losses.highest, (record.latched_epoch, 0), *numbers)
        for subjects in batches(node.subjects(), BATCH_SIZE):
            wanted = [subject for subject in subjects if is_subject(subject.encode())]
            found = node.read(wanted, [], [], READ_TIMEOUT_MS).subjects
            versions = dict(SubjectVersion.objects.filter(subject__in=wanted).values_list("subject", "sequence"))
            losses.unknown.update(set(wanted) - versions.keys())
            for subject, stored in zip(wanted, found, strict=True):
                if (permission := stored.permission) is None:
                    continue
                losses.highest = max(losses.highest, permission.fence)
                ours = (epoch, versions[subject]) if subject in versions else (0, 0)
                journaled = losses.records[subject][-1].fence if subject in losses.records else (0, 0)
                if permission.fence > max(ours, journaled):
                    losses.add(_record_of(subject, permission, now_ms))


def _record_of(subject: str, permission: Permission, now_ms: int) -> JournalRecord:
    """The store's permission as a record of now, without evidence: when it was decided is not known."""
    states = {
        name: JournaledState(
            allowed=p.allowed or p.paused,
            paused=p.paused,
            grant_id=p.grant_id,
            since_ms=p.since_ms,
            until_ms=p.until_ms,
            ended_ms=0 if p.allowed or p.paused else now_ms,
            complete_from_ms=p.complete_from_ms,
        )
        for name, p in permission.purposes.items()
    }
    kind = PermissionChange.Kind.CHANGE.value
    return JournalRecord(kind, 0, *permission.fence, at_ms=now_ms, subject=subject, states=states)
