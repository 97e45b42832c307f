"""Comparison of what the store holds with the database's own changes: a database that lost commits is found so.

A change is committed before it is published. So whoever reads the store first and the database after it finds every
change of the store in the database, unless the database lost it. A number alone does not tell: after a lost commit the
same numbers are given to other changes. So the store holds the token of its highest change beside the number.
"""

from collections.abc import Iterable, Mapping

from featurestore.consent.models import ChangeSequence, PermissionChange, SubjectVersion, VerifierLease
from featurestore.permission import Permission
from featurestore.store.protocol import LeaseFence, PublishResult, StoredChange, VouchingRecord


def lost_change(change: StoredChange | None, change_sequence: ChangeSequence) -> str:
    """How it shows that the database lost this change; "" if it did not, as far as it shows.

    The change sequence was read after the store. Changes of an earlier epoch are those of a database that an operator
    has decided about; those that are in effect for 30 days have left the outbox, and their token with them.
    """
    if change is None or change.epoch < change_sequence.epoch:
        return ""
    number = f"{change.epoch}/{change.sequence}"
    if change[:2] > (change_sequence.epoch, change_sequence.sequence):
        return f"the store holds change {number}, and the database's last change is {change_sequence}"
    rows = PermissionChange.objects.filter(sequence=change.sequence).exclude(token=change.token)
    if change.token and rows.exists():
        return f"the store's change {number} is another than the database's change of this number"
    return ""


def lost_lease(lease: LeaseFence, epoch: int) -> str:
    """How it shows that the database lost the verifier lease under which the store's claim was written; else ""."""
    if not lease.number or lease.epoch < epoch:
        return ""
    row = VerifierLease.objects.filter(pk=1).first()
    number, holder = (row.number, row.holder) if row else (0, "")
    lost = lease.epoch > epoch or lease.number > number or (lease.number == number and lease.holder != holder)
    return f"the store's claim is of verifier lease {lease.number}, and the database's last one is another" * lost


def lost_commit(record: VouchingRecord, change_sequence: ChangeSequence) -> str:
    """How a node's record shows that the database lost a commit; "" if it does not. It was read before the database."""
    claim = record.claim
    return (
        lost_change(record.highest, change_sequence)
        or (claim and lost_change(StoredChange(claim.epoch, claim.sequence), change_sequence))
        or (claim and lost_lease(claim.lease, change_sequence.epoch))
        or ""
    )


def latched_epoch_of(record: VouchingRecord) -> int:
    """The highest epoch in a node's record: a latch must hold for a database of that epoch too."""
    claim = record.claim
    epochs = (record.highest.epoch if record.highest else 0, *((claim.epoch, claim.lease.epoch) if claim else ()))
    return max(record.latched_epoch, *epochs)


def lost_by_publication(
    permissions: Mapping[str, Permission],
    results: Mapping[str, PublishResult],
    change_sequence: ChangeSequence,
) -> str:
    """How a publication shows that the database lost a commit, perhaps one that was published; "" if it does not.

    The change sequence was read after the publication.
    """
    superseded = [subject for subject, result in results.items() if result.superseded]
    versions = dict(SubjectVersion.objects.filter(subject__in=superseded).values_list("subject", "sequence"))
    for subject in superseded:
        if (change_sequence.epoch, versions.get(subject, 0)) <= permissions[subject].fence:
            return f"the store holds a later permission of a subject than the database's, {permissions[subject].fence}"
    changes = {result.highest_before for result in results.values()}
    if results:
        newest = max((permissions[subject] for subject in results), key=lambda permission: permission.fence)
        changes.add(change_of(newest))
    return next((reason for change in changes if (reason := lost_change(change, change_sequence))), "")


def change_of(permission: Permission) -> StoredChange:
    """The change that gave a permission its version."""
    return StoredChange(*permission.fence, permission.token)


def foreign_changes(stored: Iterable[StoredChange], change_sequence: ChangeSequence) -> set[StoredChange]:
    """The changes that the database never made, by numbers and tokens.

    The change sequence was read after them. One of an earlier epoch is known to be older: an operator has decided.
    """
    changes = set(stored)
    present = {change for change in changes if change.epoch == change_sequence.epoch and change.token}
    numbers = {change.sequence for change in present}
    tokens = dict(PermissionChange.objects.filter(sequence__in=numbers).values_list("sequence", "token"))
    return {
        change
        for change in changes
        if change[:2] > (change_sequence.epoch, change_sequence.sequence)
        or (change in present and tokens.get(change.sequence, change.token) != change.token)
    }
