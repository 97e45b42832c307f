"""The verifier runs alone: with the standard library and ``cryptography``, outside of Rapport."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from featurestore.auditlog import export, log_verifier
from featurestore.auditlog.log_verifier import Note, Unreadable, Verification, parse_key_text, verify_lines
from featurestore.auditlog.models import TreeHead
from featurestore.auditlog.services import erase_contents
from tests.auditlog.conftest import write_signed

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
NEEDED = ("cryptography", "cffi", "_cffi_backend", "pycparser")
RUN = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_path(sys.argv.pop(1), run_name='__main__')"


@pytest.fixture
def log(database: str) -> list[str]:
    """The lines of an export with two tree heads and an erased entry."""
    write_signed(3, 6)
    erase_contents([1])
    return [json.dumps(line, ensure_ascii=False) + "\n" for line in export.lines()]


def alone(folder: Path, lines: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    """The verifier's file, copied, in a Python without any other package; isolated from this one's folders."""
    packages = folder / "packages"
    packages.mkdir(exist_ok=True)
    for name in NEEDED:
        spec = find_spec(name)
        if spec and spec.origin and not (packages / Path(spec.origin).name).exists():
            origin = Path(spec.origin)
            source = origin.parent if origin.name == "__init__.py" else origin
            if not (packages / source.name).exists():
                (packages / source.name).symlink_to(source)
    copy, written = folder / "log_verifier.py", folder / "export"
    copy.write_bytes(Path(log_verifier.__file__).read_bytes())
    written.write_text("".join(lines), encoding="utf-8")
    command = [sys.executable, "-I", "-S", "-c", RUN, str(packages), str(copy), str(written), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def verify(lines: list[str]) -> list[str]:
    verification = Verification()
    verify_lines(lines, verification)
    return verification.end()


def test_verifier_runs_without_rapport_and_tells_by_its_exit_code(log: list[str], tmp_path: Path) -> None:
    key = str(parse_key_text(Note.parse(export.key_notes()[0]).text))
    kept = tmp_path / "head"
    kept.write_text(TreeHead.objects.get(pk=3).note, encoding="utf-8")
    done = alone(tmp_path, log, "--trust", key, "--head", str(kept))
    assert (done.returncode, done.stderr) == (0, "")
    assert "(1 erased, 6 signed), 3 tree heads. Everything holds." in done.stdout
    entry = next(number for number, line in enumerate(log) if '"index": 4' in line)
    altered = [*log[:entry], log[entry].replace("test.done", "test.gone"), *log[entry + 1 :]]
    done = alone(tmp_path, altered, "--trust", key)
    assert done.returncode == 1
    assert "entry 4: its content is not the one that was appended" in done.stdout
    done = alone(tmp_path, log[:-1])
    assert (done.returncode, done.stderr) == (2, "the export has no end, it was cut off\n")


@pytest.mark.parametrize(
    "line",
    ["", "no JSON\n", "[]\n", '{"kind": "other"}\n', '{"kind": "entry", "index": "x"}\n', "{}\n", '{"kind": "key"}\n'],
)
def test_line_that_is_none_of_an_export_is_unreadable(log: list[str], line: str) -> None:
    with pytest.raises(Unreadable, match="line 3 can't be read"):
        verify([*log[:2], line, *log[2:]])


def test_lines_after_the_end_and_entries_that_it_does_not_count_are_unreadable(log: list[str]) -> None:
    with pytest.raises(Unreadable, match="after the end"):
        verify([*log, log[0]])
    last = max(number for number, line in enumerate(log) if '"kind": "entry"' in line)
    with pytest.raises(Unreadable, match="it tells of"):
        verify([*log[:last], *log[last + 1 :]])


def test_key_that_is_not_trusted_is_a_finding(log: list[str]) -> None:
    other = "rapport/audit-log/1+00000000+AQAA"
    with pytest.raises(Unreadable, match="no key of a tree head"):
        Verification([other])
    stranger = log_verifier.VerifierKey("rapport/audit-log/9", bytes(32))
    verification = Verification([str(stranger)])
    verify_lines(log, verification)
    assert any("was introduced by no key that is trusted" in finding for finding in verification.end())
