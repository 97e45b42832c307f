"""Readers of the audit log: its state, an entry with its proof, proofs of growth, what was sent and verified."""

from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Min

from featurestore.auditlog.errors import UnknownEntry
from featurestore.auditlog.models import EntryContent, HeadDestination, Leaf, LogVerification, TreeHead, WaitingEntry
from featurestore.auditlog.proofs import consistency_proof, inclusion_proof
from featurestore.auditlog.stored_tree import StoredTree, stored_size
from featurestore.config import settings


class LogState(NamedTuple):
    """Entries with an index, those of them that no tree head covers, those that wait; the last tree head's time, and
    when the oldest waiting entry was appended.
    """

    entries: int
    unsigned: int
    waiting: int
    signed_at: datetime | None
    waiting_since: datetime | None


def log_state() -> LogState:
    last, entries = last_head(), stored_size()
    since = WaitingEntry.objects.aggregate(since=Min("appended_at"))["since"]
    return LogState(
        entries=entries,
        unsigned=entries - (last.size if last else 0),
        waiting=WaitingEntry.objects.count(),
        signed_at=last.at if last else None,
        waiting_since=since,
    )


def unsent_since() -> datetime | None:
    """When the oldest tree head was signed that a place of the settings lacks, and no later one covers; None if none.

    A place that got a tree head of more entries than the log has lacks the last one.
    """
    sent = dict(HeadDestination.objects.values_list("address", "size"))
    times = [_unsent_since(sent.get(address, 0)) for address in settings().audit_log_places]
    return min((one for one in times if one), default=None)


def _unsent_since(size: int) -> datetime | None:
    head = TreeHead.objects.filter(size__gt=size).order_by("size").first() or last_head()
    return head.at if head and head.size != size else None


def last_verification() -> LogVerification | None:
    """The last verification that ended."""
    return LogVerification.objects.exclude(finished_at=None).first()


def last_head() -> TreeHead | None:
    return TreeHead.objects.order_by("-size").first()


def proof_of_entry(index: int) -> dict[str, Any]:
    """An entry with the proof that the last tree head covers it, as JSON. Raises UnknownEntry."""
    leaf, head = Leaf.objects.filter(pk=index).first(), last_head()
    if leaf is None:
        raise UnknownEntry(f"The audit log has no entry {index}: they are numbered from 0 to {stored_size() - 1}.")
    if head is None or head.size <= index:
        raise UnknownEntry(f"No tree head covers entry {index} yet: try again in a minute.")
    content = EntryContent.objects.filter(pk=index).first()
    return {
        "index": index,
        "commitment": bytes(leaf.commitment).hex(),
        "salt": bytes(content.salt).hex() if content else None,
        "content": content.content if content else None,
        "inclusion": [one.hex() for one in inclusion_proof(StoredTree().node, index, head.size)],
        "head": head.note,
    }


def proof_of_growth(old: int) -> dict[str, Any]:
    """The proof that the tree of the last head begins with that of an older one, as JSON. Raises UnknownEntry."""
    head, before = last_head(), TreeHead.objects.filter(pk=old).first()
    if head is None or before is None:
        raise UnknownEntry(f"No tree head of {old} entries was signed.")
    proof = consistency_proof(StoredTree().node, old, head.size)
    return {"old": before.note, "new": head.note, "consistency": [one.hex() for one in proof]}
