"""Appending of entries: one INSERT in the transaction of what they record."""

import secrets
from collections.abc import Iterable

from django.db import connection

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.errors import NotInTransaction
from featurestore.auditlog.log_verifier import SALT_SIZE
from featurestore.auditlog.models import WaitingEntry


def append(entry: Entry) -> None:
    """Append one entry. Raises NotInTransaction, NotCanonical."""
    append_all([entry])


def append_all(entries: Iterable[Entry]) -> None:
    """Append entries, in order, within the caller's transaction. Raises NotInTransaction, NotCanonical."""
    rows = [
        WaitingEntry(subject=entry.subject, salt=secrets.token_bytes(SALT_SIZE), content=entry.content)
        for entry in entries
    ]
    if rows and not connection.in_atomic_block:
        raise NotInTransaction("Append an entry in the transaction of what it records, so that both or neither stay.")
    WaitingEntry.objects.bulk_create(rows)
