"""Permission changes of one node's subjects: which are not published yet, and their publication to the node."""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime

import structlog

from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.models import PermissionChange, SubjectVersion
from featurestore.consent.outbox.publication import Publication, permissions_of, restart_late_grants, send
from featurestore.consent.vouching.store_history import lost_by_publication
from featurestore.jobs.batches import BATCH_SIZE
from featurestore.permission import Permission
from featurestore.store.protocol import Node, PublishResult

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
            self._publish_to_new_run(owned)
            sequence = batch[-1][1]
            count += len(owned)
            if count % PROGRESS_EVERY < len(owned):
                self.log.info("publishing permissions to a new run", subjects=count, sequence=sequence)
        return None

    def publish(self, subjects: Collection[str]) -> Publication:
        """Publish the present permissions of changed subjects.

        Raises LostCommit if the node held a newer permission that is not the database's.
        """
        restart_late_grants(self.node, subjects)
        publication = send(self.node, subjects)
        self._check(publication.permissions, publication.results)
        return publication

    def _publish_to_new_run(self, subjects: Collection[str]) -> None:
        """As ``publish``, to an incarnation that has no values yet."""
        permissions = permissions_of(subjects)
        self._check(permissions, self.node.publish_permissions(permissions))

    def _check(self, permissions: Mapping[str, Permission], results: Mapping[str, PublishResult]) -> None:
        if reason := lost_by_publication(permissions, results, load_change_sequence()):
            raise LostCommit(reason)

    def unpublished(self, last: int | None = None) -> Iterator[dict[str, dict[int, datetime]]]:
        """The node's changes that are not published, in order, up to a last one: times by subject and sequence."""
        changes = PermissionChange.objects.filter(published_at=None).order_by("sequence")
        if last is not None:
            changes = changes.filter(sequence__lte=last)
        after = 0
        rows = changes.values_list("subject", "sequence", "created_at")
        while batch := list(rows.filter(sequence__gt=after)[:BATCH_SIZE]):
            after = batch[-1][1]
            owned: dict[str, dict[int, datetime]] = {}
            for subject, sequence, created_at in batch:
                if self.node.owns(subject):
                    owned.setdefault(subject, {})[sequence] = created_at
            if owned:
                yield owned

    def published_up_to(self) -> int:
        """The largest sequence such that every change of the node's subjects up to it is in the store.

        The change sequence is read first: a change that it numbers has committed, and the second read sees it.
        """
        last = load_change_sequence().sequence
        first = next(self.unpublished(last), {})
        return min((sequence for changes in first.values() for sequence in changes), default=last + 1) - 1
