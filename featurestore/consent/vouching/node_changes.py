"""Permission changes of one node's subjects: which are not published yet, and their publication to the node."""

from collections.abc import Callable, Collection, Iterable, Iterator

import structlog

from featurestore.clock import database_now
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.models import PermissionChange, SubjectVersion
from featurestore.consent.outbox.publication import permissions_of
from featurestore.consent.vouching.store_history import lost_by_publication, tokens_of
from featurestore.jobs.batches import BATCH_SIZE, batches
from featurestore.store.protocol import Node

log = structlog.get_logger(__name__)

PROGRESS_EVERY = 50_000


class LostCommit(Exception):
    """A publication showed that the database has lost a commit. The message says how."""


class NodeChanges:
    """Changes of the subjects that a node owns."""

    def __init__(self, node: Node):
        self.node = node
        self.log = log.bind(node=node.name) if node.name else log

    def publish_after(self, sequence: int, goes_on: Callable[[int], bool]) -> int | None:
        """Publish every permission that changed after a sequence; the last one's sequence.

        ``goes_on`` is asked before each batch, and told the sequence reached; where it says no, the result is None.
        """
        count = 0
        while goes_on(sequence):
            versions = SubjectVersion.objects.filter(sequence__gt=sequence).order_by("sequence")
            batch = list(versions.values_list("subject", "sequence")[:BATCH_SIZE])
            if not batch:
                self.log.info("permissions published to a new run", subjects=count, sequence=sequence)
                return sequence
            owned = [subject for subject, _ in batch if self.node.owns(subject)]
            self._publish(owned)
            sequence = batch[-1][1]
            count += len(owned)
            if count % PROGRESS_EVERY < len(owned):
                self.log.info("publishing permissions to a new run", subjects=count, sequence=sequence)
        return None

    def publish(self, changes: Collection[tuple[str, int]]) -> list[int]:
        """Publish the present permissions of changed subjects; return the changes' sequences."""
        self._publish({subject for subject, _ in changes})
        return [sequence for _, sequence in changes]

    def _publish(self, subjects: Collection[str]) -> None:
        """Raises LostCommit if the node held a newer permission that is not the database's."""
        permissions = permissions_of(subjects)
        tokens = tokens_of(permissions)
        results = self.node.publish_permissions(permissions, tokens)
        if reason := lost_by_publication(permissions, tokens, results, load_change_sequence()):
            raise LostCommit(reason)

    def unpublished(self, last: int | None = None) -> Iterator[list[tuple[str, int]]]:
        """Subject and sequence of the node's changes that are not published, in order, up to a last sequence."""
        changes = PermissionChange.objects.filter(published_at=None).order_by("sequence")
        if last is not None:
            changes = changes.filter(sequence__lte=last)
        after = 0
        while batch := list(changes.filter(sequence__gt=after).values_list("subject", "sequence")[:BATCH_SIZE]):
            after = batch[-1][1]
            if owned := [(subject, sequence) for subject, sequence in batch if self.node.owns(subject)]:
                yield owned

    def published_up_to(self) -> int:
        """The largest sequence such that every change of the node's subjects up to it is in the store.

        The change sequence is read first: a change that it numbers has committed, and the second read sees it.
        """
        last = load_change_sequence().sequence
        return next((batch[0][1] - 1 for batch in self.unpublished(last)), last)


def mark_published(sequences: Iterable[int]) -> None:
    """Record that changes are in effect: since the last vouch they are in a store that is vouched for."""
    for batch in batches(list(sequences)):
        changes = PermissionChange.objects.filter(published_at=None, sequence__in=batch)
        changes.update(published_at=database_now(), last_error="")
