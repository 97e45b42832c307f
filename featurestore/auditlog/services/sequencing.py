"""Sequencing: the waiting entries become leaves of the tree, in order, by one process at a time.

A decision waits for no lock of the log: it inserts a row. The numbers of these rows are taken when they are inserted,
so that an entry that was committed before another was inserted has the lower one; of two transactions at once either
may be first. A process that dies here leaves nothing behind: one transaction does it all.
"""

from django.db import transaction

from featurestore.auditlog.content_rows import content_row
from featurestore.auditlog.log_verifier import CompactRange, commitment_of, leaf_hash
from featurestore.auditlog.models import EntryContent, Leaf, Node, WaitingEntry
from featurestore.auditlog.proofs import compact_range
from featurestore.auditlog.stored_tree import LEVELS, StoredTree, stored_size
from featurestore.jobs.batches import BATCH_SIZE
from featurestore.jobs.job_leases import RELEASED
from featurestore.jobs.models import JobLease

LOCK = "auditlog"
MOST_BATCHES = 20


def sequence_due() -> int:
    """Sequence what waits, for some seconds at most; the number of entries."""
    sequenced = 0
    for _ in range(MOST_BATCHES):
        number = sequence()
        sequenced += number
        if number < BATCH_SIZE:
            break
    return sequenced


def sequence(limit: int = BATCH_SIZE) -> int:
    """Give the oldest waiting entries their index; their number. Raises LogDamaged."""
    with transaction.atomic():
        lock_log()
        waiting = list(WaitingEntry.objects.order_by("pk")[:limit])
        if waiting:
            _write(waiting, stored_size())
            WaitingEntry.objects.filter(pk__in=[one.pk for one in waiting]).delete()
    return len(waiting)


def lock_log() -> None:
    """Hold the right to write leaves and tree heads until the transaction ends."""
    JobLease.objects.get_or_create(name=LOCK, defaults={"holder": "", "until": RELEASED})
    JobLease.objects.select_for_update().get(name=LOCK)


def _write(waiting: list[WaitingEntry], size: int) -> None:
    tree: CompactRange = compact_range(StoredTree().node, size)
    leaves: list[Leaf] = []
    nodes: list[tuple[int, int, bytes]] = []
    for index, one in enumerate(waiting, size):
        commitment = commitment_of(bytes(one.salt), one.content)
        tree.append(leaf_hash(commitment), nodes)
        leaves.append(Leaf(index=index, commitment=commitment, root=tree.root()))
    Leaf.objects.bulk_create(leaves)
    EntryContent.objects.bulk_create(content_row(index, one) for index, one in enumerate(waiting, size))
    Node.objects.bulk_create(
        Node(level=level, index=index, hash=hash_) for level, index, hash_ in nodes if level % LEVELS == 0
    )
