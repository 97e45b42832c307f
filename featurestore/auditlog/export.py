"""The log as it is told to a verifier: keys, then entries in order, each tree head after its last entry."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Max

from featurestore.auditlog.content_rows import Columns, columns_of
from featurestore.auditlog.log_verifier import Verification
from featurestore.auditlog.models import EntryContent, Leaf, SigningKey, TreeHead

PAGE = 2_000


class Content(NamedTuple):
    """Salt and content of an entry, and the columns that repeat the content."""

    salt: bytes
    text: str
    columns: Columns


class Row(NamedTuple):
    """An entry; without content it was erased."""

    number: int
    commitment: bytes
    root: bytes
    content: Content | None

    @property
    def opened(self) -> tuple[bytes, str] | tuple[None, None]:
        """Salt and content, if it has any."""
        return (self.content.salt, self.content.text) if self.content else (None, None)


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
        while next_head and next_head[0] <= leaf.number:
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
        entries, (salt, text) = row.number + 1, row.opened
        yield {
            "kind": "entry",
            "index": row.number,
            "commitment": row.commitment.hex(),
            "root": row.root.hex(),
            "salt": salt.hex() if salt is not None else None,
            "content": text,
        }
    yield {"kind": "end", "entries": entries}


def verify(verification: Verification, progress: Callable[[int], object] = lambda entries: None) -> list[str]:
    """Verify the log in the database; everything that does not hold. ``progress`` is told the entries so far.

    Others append and erase meanwhile: an entry whose content goes is followed by the one that says so, and tree heads
    that are signed after the beginning are not read.
    """
    for note in key_notes():
        verification.key(note)
    for row in rows():
        if isinstance(row, str):
            verification.head(row)
            continue
        verification.entry(row.number, row.commitment, row.root, *row.opened)
        if row.content and not _is_repeated(row.content):
            verification.find("the columns by which it is searched are not what its content says", row.number)
        if verification.entries % PAGE == 0:
            progress(verification.entries)
    return verification.end()


def _is_repeated(content: Content) -> bool:
    """Whether the columns of a row repeat its content. One that can't be read is found by its commitment."""
    try:
        return columns_of(content.text) == content.columns
    except (ValueError, KeyError, TypeError):
        return True


def _leaves() -> Iterator[Row]:
    last = -1
    while page := list(
        Leaf.objects.filter(index__gt=last).order_by("index").values_list("index", "commitment", "root")[:PAGE]
    ):
        first, last = page[0][0], page[-1][0]
        contents = {
            index: Content(bytes(salt), text, Columns(*columns))
            for index, salt, text, *columns in EntryContent.objects.filter(index__range=(first, last)).values_list(
                "index", "salt", "content", *Columns._fields
            )
        }
        for index, commitment, root in page:
            yield Row(index, bytes(commitment), bytes(root), contents.get(index))


def _heads() -> Iterator[tuple[int, str]]:
    """Those that are signed when the first is asked for."""
    newest, last = TreeHead.objects.aggregate(newest=Max("size"))["newest"] or 0, -1
    present = TreeHead.objects.filter(size__lte=newest).order_by("size").values_list("size", "note")
    while page := list(present.filter(size__gt=last)[:PAGE]):
        yield from page
        last = page[-1][0]
