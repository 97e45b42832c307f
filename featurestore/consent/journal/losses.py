"""What a database lost: the journal's records and the store's permissions that it does not hold. Nothing is changed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from featurestore.clock import database_now, milliseconds
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.journal.checkpoint import load_checkpoint
from featurestore.consent.journal.comparison import lost_entries
from featurestore.consent.journal.records import JournaledState, JournalRecord
from featurestore.consent.journal.topic import Entry, Journal
from featurestore.consent.journal.topic_identity import ComparedTopic, compared_topic
from featurestore.consent.models import PermissionChange, SubjectVersion
from featurestore.consent.vouching.store_history import change_of, foreign_changes
from featurestore.identity import is_subject
from featurestore.jobs.batches import BATCH_SIZE, batches
from featurestore.permission import Permission
from featurestore.store.protocol import OnlineStore, StoredChange

READ_TIMEOUT_MS = 5000


class JournalGap(Exception):
    """The journal does not hold all that happened since the database's last comparison; the message says what lacks."""


@dataclass
class Losses:
    """What was lost, by subject, in order. ``journal_topic``: the journal as it was read.

    ``highest``: the highest (epoch, sequence) found anywhere. ``first``: the first sequence that was found lost; 0:
    none. ``shared``: up to it nothing was lost, for certain. ``unknown``: subjects that the store holds and the
    database does not know.
    """

    records: defaultdict[str, list[JournalRecord]] = field(default_factory=lambda: defaultdict(list))
    unknown: set[str] = field(default_factory=set)
    first: int = 0
    shared: int = 0
    highest: tuple[int, int] = (0, 0)
    latched_epoch: int = 0  # the highest for which a node of the store is latched
    journal_topic: ComparedTopic | None = None
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
    if store:
        _read_store(losses, store)
    for history in losses.records.values():
        history.sort(key=lambda record: record.fence)
    return losses


def _read_journal(losses: Losses, journal: Journal, accept_gap: bool) -> None:
    topic, topic_id, bounds = compared_topic(load_checkpoint(journal.name)), journal.topic_id(), journal.bounds()
    fault = topic.fault(journal, topic_id, bounds)
    losses.journal_is_incomplete, start = bool(fault), topic.offset
    if (fault or start < bounds.start) and not accept_gap:
        raise JournalGap(
            f"{journal.name} {fault}." if fault else
            f"{journal.name} holds offsets {bounds.start} to {bounds.stop}, and the database was compared up to "
            f"{start}. The records between have expired: denials among them can't be taken over."
        )  # fmt: skip
    start = bounds.start if fault else max(start, bounds.start)
    token = topic.token if start == bounds.stop else 0
    for entries in journal.read(range(start, bounds.stop)):
        for _, record in foreign_entries(entries) if fault else lost_entries(entries):
            losses.add(record)
        token = entries[-1].record.token
    losses.journal_topic = ComparedTopic(topic_id or topic.id, bounds.stop, token)
    if losses.first and not accept_gap:
        losses.shared = losses.first - 1  # it is appended to in order


def foreign_entries(entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose change the database never made. Those that have left its outbox count as its own."""
    change_sequence = load_change_sequence()
    foreign = foreign_changes((StoredChange(*record.fence, record.token) for _, record in entries), change_sequence)
    return [entry for entry in entries if (*entry.record.fence, entry.record.token) in foreign]


def _read_store(losses: Losses, store: OnlineStore) -> None:
    """Compare the store's permissions. The store is read first: what it holds was committed before.

    By their tokens: the restored database may have given a customer a higher version than the lost one.
    """
    now_ms = milliseconds(database_now())
    for node in store.nodes():
        record = node.vouching_record()
        numbers = [(claim.epoch, claim.sequence) for claim in (record.claim, record.highest) if claim]
        losses.latched_epoch = max(losses.latched_epoch, record.latched_epoch)
        losses.highest = max(losses.highest, (record.latched_epoch, 0), *numbers)
        for subjects in batches(node.subjects(), BATCH_SIZE):
            wanted = [subject for subject in subjects if is_subject(subject.encode())]
            found = node.read(wanted, [], [], READ_TIMEOUT_MS).subjects
            change_sequence = load_change_sequence()
            versions = dict(SubjectVersion.objects.filter(subject__in=wanted).values_list("subject", "sequence"))
            losses.unknown.update(set(wanted) - versions.keys())
            permissions = {name: one.permission for name, one in zip(wanted, found, strict=True) if one.permission}
            foreign = foreign_changes(map(change_of, permissions.values()), change_sequence)
            for subject, permission in permissions.items():
                losses.highest = max(losses.highest, permission.fence)
                if not permission.token:  # its number has to do
                    ours = (change_sequence.epoch, versions[subject]) if subject in versions else (0, 0)
                    journaled = max((record.fence for record in losses.records.get(subject, ())), default=(0, 0))
                    is_lost = permission.fence > max(ours, journaled)
                else:
                    is_lost = subject not in versions or change_of(permission) in foreign
                if is_lost:
                    losses.add(_record_of(subject, permission, now_ms))
                elif permission.epoch == change_sequence.epoch and permission.token:
                    losses.shared = max(losses.shared, permission.sequence)


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
    return JournalRecord(kind, permission.token, *permission.fence, at_ms=now_ms, subject=subject, states=states)
