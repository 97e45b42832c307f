"""The command ``auditlog``: what it prints, and its exit code."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from featurestore.auditlog.models import EntryContent
from tests.auditlog.conftest import write_signed

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def run(*words: Any) -> str:
    out = StringIO()
    call_command("auditlog", *map(str, words), stdout=out)
    return out.getvalue()


def test_log_is_verified_by_its_published_key_and_a_kept_tree_head(database: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No tree head was signed yet"):
        run("head")
    write_signed(3)
    kept = tmp_path / "head"
    kept.write_text(run("head"), encoding="utf-8")
    assert "Everything holds." in run("verify", "--trust", run("keys").strip(), "--head", kept)
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER auditlog_entrycontent_rows")
    EntryContent.objects.filter(pk=1).update(content="{}")
    with pytest.raises(CommandError, match="does not hold"):
        run("verify")


def test_entry_and_growth_are_proven_and_unknown_ones_are_refused(database: str) -> None:
    write_signed(2, 5)
    assert json.loads(run("prove", "--entry", 4))["index"] == 4
    assert len(json.loads(run("prove", "--since", 2))["consistency"]) == 2
    for wrong in (("--entry", 99), ("--since", 3)):
        with pytest.raises(CommandError):
            run("prove", *wrong)


def test_export_is_written_a_line_a_record(database: str, tmp_path: Path) -> None:
    write_signed(2)
    run("export", tmp_path / "log")
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert kinds == ["key", "entry", "entry", "head", "entry", "end"]
    with pytest.raises(CommandError, match="No such file"):
        run("export", tmp_path / "no" / "folder")
