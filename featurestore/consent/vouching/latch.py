"""Latch: denial of every read until an operator decides, because the database has lost commits.

It closes when the store or the journal is found ahead of the database. From then on nothing is vouched for, published
or repaired, however the numbers grow and whichever process restarts. It is kept twice: in the row of the change
sequence, and in every node that is reached, as the epoch that was latched. Either suffices: a database that is restored
once more loses the first, an emptied store the second. The operator's command opens it, by an epoch above all of them.
"""

from collections.abc import Sequence

import structlog
from django.db import DatabaseError, InterfaceError

from featurestore.clock import database_now
from featurestore.consent.models import ChangeSequence
from featurestore.store import configured
from featurestore.store.protocol import Node, StoreUnavailable, VouchingRecord

log = structlog.get_logger(__name__)

MAX_REASON = 300


class Latched(Exception):
    """Nothing may be published: the database has lost commits. The message says how it showed."""


def latch(reason: str, change_sequence: ChangeSequence, epoch: int = 0, nodes: Sequence[Node] | None = None) -> None:
    """Latch what was found under the epoch of ``change_sequence``. Repeating it is harmless.

    ``epoch``: the highest epoch that was found ahead. ``nodes``: those of the store, if the caller has them. A database
    whose epoch was raised meanwhile is not latched: the finding was about the one before. Raises no error of store or
    database: whoever finds the same again latches what could not be reached.
    """
    log.error("latched: every read is denied until an operator takes the denials over", reason=reason)
    epoch = max(epoch, change_sequence.epoch)
    try:
        rows = ChangeSequence.objects.filter(pk=1, epoch=change_sequence.epoch, latched_at=None)
        rows.update(latched_at=database_now(), latch_reason=reason[:MAX_REASON])
    except (DatabaseError, InterfaceError) as error:
        log.error("the database could not be latched", error=str(error))
    try:
        for node in configured.store().nodes() if nodes is None else nodes:
            _latch_node(node, epoch)
    except StoreUnavailable as error:
        log.error("the store could not be latched", error=str(error))


def _latch_node(node: Node, epoch: int) -> None:
    try:
        node.latch(epoch)
    except StoreUnavailable as error:
        log.error("a node of the store could not be latched", node=node.name, error=str(error))


def is_latched(change_sequence: ChangeSequence) -> bool:
    """Whether the database is latched. A node's own latch is in its vouching record."""
    return change_sequence.latched_at is not None


def check_not_latched(record: VouchingRecord, change_sequence: ChangeSequence) -> None:
    """Raises Latched if the database is latched, or the node for a database of this epoch."""
    if is_latched(change_sequence):
        raise Latched(f"latched: {change_sequence.latch_reason}")
    if record.latched_epoch >= change_sequence.epoch:
        raise Latched("latched: a node of the store is latched")


def clear_latch(change_sequence: ChangeSequence) -> None:
    """Open the latch, in a change sequence that is locked and saved by the caller, in full.

    The caller has raised its epoch above every epoch that was latched: a node's latch of an earlier epoch is void.
    """
    change_sequence.latched_at, change_sequence.latch_reason = None, ""
