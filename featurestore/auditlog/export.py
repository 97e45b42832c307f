"""The log as it is told to a verifier: keys, then entries in order, each tree head after its last entry."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from featurestore.auditlog.log_verifier import Verification
from featurestore.auditlog.models import EntryContent, Leaf, SigningKey, TreeHead

PAGE = 2_000
Row = tuple[int, bytes, bytes, bytes | None, str | None]
"""Index, commitment, root, salt and content of an entry; without the last two it was erased."""


@contextmanager
def snapshot() -> Iterator[None]:
    """A transaction that sees the log as it is now, while others append and erase. Of SQLite it lets nobody write."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def key_notes() -> list[str]:
    """The notes of all keys, in the order in which they were introduced."""
    return list(SigningKey.objects.order_by("pk").values_list("note", flat=True))


def rows() -> Iterator[Row | str]:
    """Every entry, and as a text every tree head after its last entry; a page of each in memory at a time."""
    heads = _heads()
    next_head = next(heads, None)
    for leaf in _leaves():
        while next_head and next_head[0] <= leaf[0]:
            yield next_head[1]
            next_head = next(heads, None)
        yield leaf
    while next_head:
        yield next_head[1]
        next_head = next(heads, None)


def lines() -> Iterator[dict[str, Any]]:
    """The lines of an export, as JSON objects."""
    for note in key_notes():
        yield {"kind": "key", "note": note}
    entries = 0
    for row in rows():
        if isinstance(row, str):
            yield {"kind": "head", "note": row}
            continue
        index, commitment, root, salt, content = row
        entries = index + 1
        yield {
            "kind": "entry",
            "index": index,
            "commitment": commitment.hex(),
            "root": root.hex(),
            "salt": salt.hex() if salt is not None else None,
            "content": content,
        }
    yield {"kind": "end", "entries": entries}


def verify(verification: Verification) -> list[str]:
    """Verify the log in the database; everything that does not hold."""
    with snapshot():
        for note in key_notes():
            verification.key(note)
        for row in rows():
            if isinstance(row, str):
                verification.head(row)
            else:
                verification.entry(*row)
    return verification.end()


def _leaves() -> Iterator[Row]:
    last = -1
    while page := list(
        Leaf.objects.filter(index__gt=last).order_by("index").values_list("index", "commitment", "root")[:PAGE]
    ):
        first, last = page[0][0], page[-1][0]
        contents = {
            index: (bytes(salt), content)
            for index, salt, content in EntryContent.objects.filter(index__range=(first, last)).values_list(
                "index", "salt", "content"
            )
        }
        for index, commitment, root in page:
            yield index, bytes(commitment), bytes(root), *contents.get(index, (None, None))


def _heads() -> Iterator[tuple[int, str]]:
    last = -1
    while page := list(TreeHead.objects.filter(size__gt=last).order_by("size").values_list("size", "note")[:PAGE]):
        yield from page
        last = page[-1][0]
