"""Packing: the package is written from the spool, through the redactions, into an encrypted ZIP.

It holds ``summary.html``; for each category ``data/NAME.jsonl``, ``data/NAME.csv`` and ``schema/NAME.schema.json``; and
at its end ``manifest.json`` with size and SHA-256 of each. What is written under another name first is renamed when it
is complete. A process that is killed before leaves an unfinished file, which the next one, or ``expiry.py``, deletes.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from featurestore.clock import database_now
from featurestore.requests.export import folder
from featurestore.requests.export.encrypted_zip import EncryptedZip, new_passphrase
from featurestore.requests.export.errors import FolderFull, SpoolDamaged
from featurestore.requests.export.formats import csv_lines, file_names, json_lines, schema_of
from featurestore.requests.export.models import DataExport, ExportCategory
from featurestore.requests.export.redactions import redactions_of
from featurestore.requests.export.services.releases import packed
from featurestore.requests.export.spool import Spool
from featurestore.requests.export.summary import summary_page

FORMAT = "rapport-export/1"
RENEW_S = 5.0


class Overtaken(Exception):
    """Another process packs the same export."""


def pack(export: DataExport, renew: Callable[[], bool], now: datetime | None = None) -> bool:
    """Write the package of a released export; False if another process does. Raises FolderFull, SpoolDamaged."""
    at, passphrase = now or database_now(), new_passphrase()
    try:
        with folder.full_is_told(), folder.create(export.name, folder.UNFINISHED) as file:
            size = write_package(export, file.write, passphrase, at, _Renewed(renew))
            folder.sync(file)
    except Overtaken:
        return False
    except FolderFull:
        folder.delete(export.name, folder.UNFINISHED)
        raise
    if not renew():
        return False
    folder.finish_package(export.name)
    packed(export.pk, passphrase, size, now)
    return True


def write_package(
    export: DataExport,
    write: Callable[[bytes], object],
    passphrase: str,
    at: datetime,
    renewed: Callable[[], None] = lambda: None,
) -> int:
    """Write the package, in constant memory; its bytes. Raises SpoolDamaged."""
    package, listed = EncryptedZip(write, passphrase, at), list[dict[str, Any]]()
    spool = Spool(export.name, export.encrypted_key)
    categories = list(export.categories.prefetch_related("redactions"))

    def add(name: str, chunks: Iterable[bytes], **facts: Any) -> None:
        digest = _Digest(chunks)
        package.add(name, digest)
        listed.append({"name": name, "bytes": digest.size, "sha256": digest.hex(), **facts})

    names = file_names(row.name for row in categories)
    add("summary.html", [summary_page(export, categories, names, at).encode()], language=export.request.language)
    for row, name in zip(categories, names, strict=True):
        about, withheld = {"category": row.name}, redactions_of(row)
        fields = [field for field in row.fields if not withheld.everything and field not in withheld.fields]
        counted = _Counted(redacted_lines(row, spool, renewed))
        add(f"data/{name}.jsonl", json_lines(counted), **about, schema=f"schema/{name}.schema.json")
        listed[-1] |= {"items": counted.items, "items_withheld": row.items - counted.items}
        add(f"data/{name}.csv", csv_lines(redacted_lines(row, spool, renewed), fields), **about)
        schema = schema_of(row.name, {field: row.fields[field] for field in fields}, bool(withheld))
        add(f"schema/{name}.schema.json", [_json(schema)], **about)
    manifest = {
        "format": FORMAT,
        "request": export.request.reference,
        "type": export.request.type,
        "made_at": at.isoformat(),
        "files": listed,
    }
    package.add("manifest.json", [_json(manifest)])
    package.close()
    return package.size


def redacted_lines(row: ExportCategory, spool: Spool, renewed: Callable[[], None]) -> Iterator[dict[str, Any]]:
    """The lines of a category's items without what is withheld, a part in memory at a time. Raises SpoolDamaged."""
    withheld = redactions_of(row)
    if withheld.everything:
        return
    for part in row.spool_parts.order_by("number").iterator(chunk_size=200):
        renewed()
        lines = spool.read(part.number, part.offset, part.length)
        if len(lines) != part.items:
            raise SpoolDamaged(f"Part {part.number} of a spool has {len(lines)} items, and not {part.items}.")
        for number, line in enumerate(lines, start=part.first):
            if (left := withheld.applied(number, msgspec.json.decode(line))) is not None:
                yield left


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


class _Renewed:
    """Call that renews the lease every RENEW_S, and raises Overtaken once it is lost."""

    def __init__(self, renew: Callable[[], bool]) -> None:
        self._renew, self._next = renew, time.monotonic() + RENEW_S

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            if not self._renew():
                raise Overtaken
            self._next = time.monotonic() + RENEW_S


class _Digest:
    """Chunks that are counted and hashed as they pass."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._hash, self.size = chunks, hashlib.sha256(), 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
            yield chunk

    def hex(self) -> str:
        return self._hash.hexdigest()


class _Counted:
    """Lines that are counted as they pass."""

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        self._lines, self.items = lines, 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for line in self._lines:
            self.items += 1
            yield line
