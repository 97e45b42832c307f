"""Export of a report: a file with its rows, and beside it a manifest that says what the file is.

1. Rows go to ``NAME.unfinished``, a page in memory at a time, readable by this user only.
2. The manifest is written. Entries of the audit log name the file by its SHA-256, and issue the manifest as a document
   that ``signing.py`` can prove. Then both files get their names, the manifest first. So a file that has its name is
   complete, described and logged. What fails before leaves no file behind.

A process that is killed leaves ``.unfinished`` files; no later export reads or continues them.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from django.db import transaction

from featurestore.auditlog.document_verifier import ISSUED, digest_of
from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append_all
from featurestore.clock import database_now, milliseconds
from featurestore.compliance.errors import ExportFailed
from featurestore.compliance.formats import FORMATS, told_time
from featurestore.compliance.report import PAGE, Period, Report, Row

FOR_OWNER = 0o600
UNFINISHED = ".unfinished"
DOCUMENT = "compliance_manifest"
"""Kind of the signed document."""
Progress = Callable[[int], None]


class Exported(NamedTuple):
    """Files of an export, and the number of rows."""

    file: Path
    manifest: Path
    rows: int


def export(
    report: Report, period: Period, format: str, folder: Path, actor: str, progress: Progress = lambda rows: None
) -> Exported:
    """Write a report's rows and their manifest into a folder. Raises UnsoundPeriod, ExportFailed."""
    begun = database_now()
    name = f"{report.name}-{begun:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    file, manifest = folder / f"{name}.{format}", folder / f"{name}.manifest.json"
    unfinished = [one.with_name(one.name + UNFINISHED) for one in (file, manifest)]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _failed(folder, error) from error
    try:
        digest, rows = _write(unfinished[0], report, period, format, progress)
        told = manifest_of(report, period, file.name, digest, rows, actor, begun)
        _write_text(unfinished[1], json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        with transaction.atomic():
            append_all([_entry(told, period, begun), _issue(told, begun)])
        os.replace(unfinished[1], manifest)
        os.replace(unfinished[0], file)
    except OSError as error:
        raise _failed(folder, error) from error
    finally:
        for path in unfinished:
            path.unlink(missing_ok=True)
    return Exported(file, manifest, rows)


def manifest_of(
    report: Report, period: Period, file: str, digest: str, rows: int, actor: str, made_at: datetime
) -> dict[str, Any]:
    """What a reader needs to judge a file: its digest, number of rows, who made it when, of which period."""
    return {
        "report": report.name,
        "title": report.title,
        "file": file,
        "sha256": digest,
        "rows": rows,
        "made_at": told_time(made_at),
        "made_by": actor,
        "period": {"since": told_time(period.since) if period.since else None, "until": told_time(period.until)},
        "notes": report.notes(period),
        "personal_data": report.personal_data,
        "columns": [{"name": one.name, "type": one.type, "meaning": one.meaning} for one in report.columns],
    }


def _failed(folder: Path, error: OSError) -> ExportFailed:
    return ExportFailed(
        f"{error.filename or folder} can't be written ({error.strerror}): name a folder that this user may write to, "
        "on a disk with space."
    )


def _entry(manifest: dict[str, Any], period: Period, at: datetime) -> Entry:
    facts = {name: manifest[name] for name in ("report", "file", "sha256", "rows")}
    since_ms = milliseconds(period.since) if period.since else None
    details = {**facts, "since_ms": since_ms, "until_ms": milliseconds(period.until)}
    return Entry("compliance.exported", at, details, manifest["made_by"])


def _issue(manifest: dict[str, Any], at: datetime) -> Entry:
    return Entry(ISSUED, at, {"kind": DOCUMENT, "sha256": digest_of(manifest)}, manifest["made_by"])


def _write(path: Path, report: Report, period: Period, format: str, progress: Progress) -> tuple[str, int]:
    """SHA-256 and number of the rows that were written."""
    digest, counted = hashlib.sha256(), [0]

    def told(rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            counted[0] += 1
            if counted[0] % PAGE == 0:
                progress(counted[0])
            yield row

    with _created(path) as opened:
        for line in FORMATS[format](report.columns, told(report.rows(period))):
            encoded = line.encode()
            digest.update(encoded)
            opened.write(encoded)
    return digest.hexdigest(), counted[0]


def _write_text(path: Path, text: str) -> None:
    with _created(path) as opened:
        opened.write(text.encode())


@contextmanager
def _created(path: Path) -> Iterator[Any]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FOR_OWNER)
    with os.fdopen(descriptor, "wb") as opened:
        yield opened
        opened.flush()
        os.fsync(descriptor)
