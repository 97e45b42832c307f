"""Erasure of contents: they are deleted, and an entry that names nobody says which ones, in one transaction."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.log_verifier import ERASED, runs
from featurestore.auditlog.models import EntryContent
from featurestore.auditlog.services.appending import append
from featurestore.auditlog.services.sequencing import lock_log, sequence
from featurestore.clock import database_now


def erase_contents(indexes: Collection[int], now: datetime | None = None) -> int:
    """Delete content and salt of entries; the number of those that had any. The log verifies as before."""
    with transaction.atomic():
        lock_log()
        found = sorted(EntryContent.objects.filter(pk__in=indexes).values_list("pk", flat=True))
        if found:
            EntryContent.objects.filter(pk__in=found).delete()
            stretches = [list(stretch) for stretch in runs(found)]
            append(Entry(ERASED, now or database_now(), {"entries": stretches}, "system"))
            while sequence():  # who verifies then sees no content missing before it is said why
                continue
    return len(found)
