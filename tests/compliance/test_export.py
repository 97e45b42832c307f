"""Exports: the file, its manifest, the entry of the audit log, and what is left when one fails."""

import hashlib
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from featurestore.auditlog.models import WaitingEntry
from featurestore.compliance.errors import ExportFailed
from featurestore.compliance.export import export
from featurestore.compliance.report import PAGE, Column, ColumnType, Period, Report, Row
from tests.kit.clock import at
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
PERIOD = Period(None, at(10**9))


def counting(rows: int, fails: bool = False) -> Report:
    def numbers(period: Period) -> Iterator[Row]:
        yield from ((number,) for number in range(rows))
        if fails:
            raise KeyError("broken")

    columns = (Column("number", ColumnType.INTEGER, "a number"),)
    return Report("numbers", "Numbers", "None.", columns, numbers)


def entries() -> list[dict[str, object]]:
    found = [json.loads(one.content) for one in WaitingEntry.objects.order_by("pk")]
    return [one for one in found if one["type"] == "compliance.exported"]


def test_manifest_and_audit_log_name_the_file_by_its_hash(shop: Shop, tmp_path: Path) -> None:
    progress: list[int] = []
    done = export(counting(2 * PAGE + 1), PERIOD, "csv", tmp_path / "new", "olivia", progress.append)
    manifest = json.loads(done.manifest.read_text())
    assert manifest["sha256"] == hashlib.sha256(done.file.read_bytes()).hexdigest()
    assert (manifest["rows"], manifest["made_by"], manifest["file"]) == (2 * PAGE + 1, "olivia", done.file.name)
    assert len(done.file.read_text().splitlines()) == 2 * PAGE + 2
    assert progress == [PAGE, 2 * PAGE]
    (entry,) = entries()
    assert (entry["actor"], entry["details"]["sha256"]) == ("olivia", manifest["sha256"])  # type: ignore[index]
    assert sorted((tmp_path / "new").iterdir()) == sorted((done.file, done.manifest))
    assert {one.stat().st_mode & 0o777 for one in (done.file, done.manifest)} == {0o600}


def test_a_report_that_fails_leaves_no_file_and_no_entry(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        export(counting(3, fails=True), PERIOD, "csv", tmp_path / "new", "olivia")
    assert list((tmp_path / "new").iterdir()) == []
    assert entries() == []


def test_a_folder_that_is_a_file_is_refused(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ExportFailed, match="name a folder"):
        export(counting(1), PERIOD, "csv", tmp_path / "file", "olivia")


def test_the_command_exports_and_lists(shop: Shop, tmp_path: Path) -> None:
    shop.register()
    shop.give()
    out = StringIO()
    call_command("compliance", "list", stdout=out)
    call_command("compliance", "export", "consent-register", "--format", "jsonl", "--to", str(tmp_path), stdout=out)
    (file,) = tmp_path.glob("*.jsonl")
    assert json.loads(file.read_text())["customer_id"] == "ann"
    assert "request-statistics" in out.getvalue()
    assert f"{file}: 1 rows" in out.getvalue()


@pytest.mark.parametrize("arguments", [["--since", "2999-01-01"], ["--since", "2026-02-30"], ["--format", "xls"]])
def test_the_command_refuses_what_makes_no_sense(shop: Shop, tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("compliance", "export", "access-log", "--to", str(tmp_path / "new"), *arguments)
    assert not (tmp_path / "new").exists()
