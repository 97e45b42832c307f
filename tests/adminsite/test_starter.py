"""The starter of a team's own catalog."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from adminsite.starter.writer import StarterError, name_for, write_starter
from featurestore.config import ROOT
from featurestore.installed_catalog import load_catalog
from tests.installed.environments import without_settings


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def starter(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with a starter of a name that no other test has."""
    folder = tmp_path / "hotel"
    write_starter(folder, f"{request.node.name}_catalog")
    return folder


def test_starter_has_a_catalog_without_problems(starter: Path) -> None:
    found = load_catalog("test_starter_has_a_catalog_without_problems_catalog", starter)
    assert found.problems() == []
    assert list(found.registry.sources) == ["bookings"]
    assert list(found.registry.services) == ["front_desk", "offers"]
    assert {purpose.name for purpose in found.purposes} == {"service", "offers"}


def test_starter_passes_its_own_tests_and_ruff(tmp_path: Path) -> None:
    write_starter(starter := tmp_path / "motel", "motel_catalog")
    environment = without_settings() | {"PYTHONPATH": str(ROOT)}
    for command in (
        ["-m", "pytest", "-q", "-p", "no:cacheprovider"],
        ["-m", "ruff", "check", "--isolated", "--line-length", "120", "--select", "E,F,I,B,UP", "."],
        ["-m", "ruff", "format", "--isolated", "--line-length", "120", "--check", "."],
    ):
        ended = subprocess.run([sys.executable, *command], cwd=starter, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_secrets_are_readable_by_their_owner_only_and_differ(starter: Path) -> None:
    file = starter / ".env"
    assert file.stat().st_mode & 0o777 == 0o600
    settings = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert settings["RAPPORT_CATALOG"] == "test_secrets_are_readable_by_their_owner_only_and_differ_catalog"
    assert len({settings[f"RAPPORT_{name}"] for name in ("SECRET_KEY", "SUBJECT_SECRET", "CONTACT_KEY")}) == 3
    assert all(len(value) > 32 for value in settings.values())


def test_no_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("ours")
    with pytest.raises(StarterError, match="has Procfile already, and nothing is replaced"):
        write_starter(tmp_path, "not_replaced_catalog")
    assert [path.name for path in tmp_path.iterdir()] == ["Procfile"]
    assert (tmp_path / "Procfile").read_text() == "ours"


def test_a_folder_with_other_files_is_written_to(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert Path("beside_others_catalog/bookings.py") in write_starter(tmp_path, "beside_others_catalog")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("json", r"json is a module already \(.*\): name another one"),
        ("featurestore", "featurestore is a module already"),
        ("my-catalog", "'my-catalog' is no name of a module"),
        ("class", "'class' is no name of a module"),
        ("Hotel", "'Hotel' is no name of a module"),
        ("9_catalog", "'9_catalog' is no name of a module"),
        ("hôtel_catalog", "is no name of a module"),
    ],
)
def test_a_name_that_would_not_import_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(StarterError, match=message):
        write_starter(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "name"),
    [("hotel", "hotel_catalog"), ("My-Shop.2", "my_shop_2_catalog"), ("shop_catalog", "shop_catalog")],
)
def test_name_follows_from_the_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert name_for(tmp_path / folder) == name


def test_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    out = StringIO()
    call_command("features", "init", str(tmp_path / "inn"), stdout=out)
    lines = out.getvalue().splitlines()
    assert f"wrote {tmp_path}/inn/inn_catalog/bookings.py" in lines
    assert lines[-1] == (
        f"The catalog is inn_catalog; .env names it. Next, in {tmp_path}/inn: rapport features check, "
        "then rapport demo."
    )


def test_a_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="is a file: name a folder"):
        call_command("features", "init", str(tmp_path / "file"), "--name", "some_catalog")
