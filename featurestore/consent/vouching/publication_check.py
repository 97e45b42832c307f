"""Checks before and after a publication: permissions of a database that has lost commits must not reach the store.

Without the check before, the permission of such a database could replace a denial that it does not know. The check
after finds what was published meanwhile by a process that still used the lost database.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import NamedTuple

from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.vouching.latch import Latched, check_not_latched, latch
from featurestore.consent.vouching.store_history import latched_epoch_of, lost_by_publication, lost_commit
from featurestore.permission import Permission
from featurestore.store import configured
from featurestore.store.protocol import PublishResult, StoreUnavailable, VouchingRecord


class OpenSubjects(NamedTuple):
    """Subjects whose node answers. ``unfilled``: those of nodes that were emptied, or are being filled."""

    reached: list[str]
    unfilled: set[str]


def open_subjects(subjects: Collection[str]) -> OpenSubjects:
    """The subjects whose node answers. Raises Latched if database or node is latched, or is to be latched now;
    StoreUnavailable if no node answers.

    The nodes are read first and the database after them (``store_history.py``).
    """
    reached: list[str] = []
    unfilled: set[str] = set()
    records: list[VouchingRecord] = []
    unavailable: StoreUnavailable | None = None
    for node in configured.store().nodes():
        if owned := [subject for subject in subjects if node.owns(subject)]:
            try:
                records.append(node.vouching_record())
            except StoreUnavailable as error:
                unavailable = error
                continue
            reached += owned
            if records[-1].is_unfilled:
                unfilled.update(owned)
    if unavailable and not records:
        raise unavailable
    change_sequence = load_change_sequence()
    for record in records:
        check_not_latched(record, change_sequence)
        if reason := lost_commit(record, change_sequence):
            latch(reason, change_sequence, latched_epoch_of(record))
            raise Latched(reason)
    return OpenSubjects(reached, unfilled)


def still_unfilled(subjects: Collection[str]) -> set[str]:
    """Those of subjects that are of an unfilled node now. One that does not answer may have been filled meanwhile."""
    found: set[str] = set()
    for node in configured.store().nodes() if subjects else ():
        if owned := [subject for subject in subjects if node.owns(subject)]:
            with suppress(StoreUnavailable):
                if node.vouching_record().is_unfilled:
                    found.update(owned)
    return found


def check_publication(permissions: Mapping[str, Permission], results: Mapping[str, PublishResult]) -> None:
    """Raises Latched if a publication shows that the database has lost a commit: it is latched now."""
    change_sequence = load_change_sequence()
    if reason := lost_by_publication(permissions, results, change_sequence):
        epochs = [result.highest_before.epoch for result in results.values() if result.highest_before]
        latch(reason, change_sequence, max(epochs, default=0))
        raise Latched(reason)
