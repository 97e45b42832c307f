"""Member id of a stream worker: the set one, or one that belongs to its data folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from streams.member import FILE, member_id

ASK = "import sys, pathlib; from streams.member import member_id; print(member_id('', pathlib.Path(sys.argv[1])))"


def asked(folder: Path) -> str:
    """The id that a process of its own gets, which then ends."""
    done = subprocess.run([sys.executable, "-c", ASK, folder], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_configured_id_is_taken_as_it_is(tmp_path: Path) -> None:
    assert member_id("streams-7", tmp_path / "data") == "streams-7"
    assert not (tmp_path / "data").exists()


def test_folder_keeps_its_id_and_another_folder_has_another(tmp_path: Path) -> None:
    first = asked(tmp_path / "a" / "data")
    assert first.startswith("worker-")
    assert asked(tmp_path / "a" / "data") == first
    assert asked(tmp_path / "b") != first


def test_second_worker_in_a_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    member_id("", tmp_path)
    assert "RAPPORT_STREAM_DATA_DIR" in asked(tmp_path)


def test_worker_that_died_before_it_wrote_its_id_leaves_none(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    made = asked(tmp_path)
    assert made.startswith("worker-")
    assert asked(tmp_path) == made


@pytest.mark.parametrize("mode", [0o600])
def test_file_is_its_owners_alone(tmp_path: Path, mode: int) -> None:
    asked(tmp_path)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == mode
