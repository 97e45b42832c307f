"""The module that RAPPORT_CATALOG names: found, checked, or refused with what to do."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from featurestore.config import ROOT, settings
from featurestore.installed_catalog import CatalogError, catalog, load_catalog
from tests.installed.environments import without_settings

Write = Callable[[str, str], str]

DEFINITIONS = """\
from typing import Literal

import msgspec

from featurestore.aggregations import Count
from featurestore.definitions import EventSource, FeatureService, FeatureView, LawfulBasis, Purpose, Registry


class Call(msgspec.Struct):
    kind: Literal["answered", "missed"]


calls = EventSource("calls", data=Call, type="phone.call")
missed = FeatureView("missed", source=calls, purposes={"service"}, features=[Count().over("1d", name="calls_1d")])
hotline = FeatureService("hotline", [missed], purpose="service")
"""
PURPOSES = 'PURPOSES = [Purpose("service", "Help", LawfulBasis.CONSENT, "We help.")]\n'
REGISTRY = "registry = Registry([calls, missed, hotline])\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writer of a module of the folder; it returns the module's name, which no other test has."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write_module(name: str, text: str) -> str:
        (tmp_path / f"{tmp_path.name}_{name}.py").write_text(text)
        return f"{tmp_path.name}_{name}"

    return write_module


def test_the_shipped_catalog_is_the_default() -> None:
    assert (settings().catalog, catalog().module) == ("featurestore.catalog", "featurestore.catalog")
    assert catalog().fingerprints == ROOT / "featurestore" / "catalog" / "fingerprints.json"
    assert catalog().problems() == []


def test_a_module_of_the_folder_is_a_catalog(write: Write, tmp_path: Path) -> None:
    found = load_catalog(write("plain", DEFINITIONS + PURPOSES + REGISTRY), tmp_path)
    assert list(found.registry.views) == ["missed"]
    assert [purpose.name for purpose in found.purposes] == ["service"]
    assert found.fingerprints == tmp_path / "fingerprints.json"
    assert found.part("simulation") is None
    assert [problem.message for problem in found.problems()] == [
        "view missed version 1 is not recorded: run `manage.py features lock`"
    ]
    assert found.record() == {"missed": {"1"}}
    assert (found.problems(), found.record()) == ([], {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DEFINITIONS + PURPOSES, r"has no `registry`: give it one, as in registry = Registry.of\(MODULE"),
        (DEFINITIONS + PURPOSES + "registry = [calls]\n", "has no `registry`"),
        (DEFINITIONS + REGISTRY, "has no `PURPOSES`: give it a tuple of Purpose"),
        (DEFINITIONS + REGISTRY + 'PURPOSES = ["service"]\n', "has no `PURPOSES`"),
        (DEFINITIONS + REGISTRY + "PURPOSES = ()\n", "has no `PURPOSES`"),
        (DEFINITIONS + PURPOSES + "registry = Registry([calls, missed])\n", "has no FeatureService"),
        (
            DEFINITIONS + PURPOSES.replace('"service"', '"support"') + REGISTRY,
            r"can't be used:\n.*py:14: view missed: the purpose service is not declared; declared: support",
        ),
        (
            DEFINITIONS
            + PURPOSES
            + 'other = FeatureView("missed", source=calls, purposes={"service"}, features=[Count().over("2d")])\n'
            + "registry = Registry([calls, missed, other, hotline])\n",
            r"can't be used:\n.*py:14: view missed is defined 2 times: rename one\n.*py:17: view missed is defined 2",
        ),
    ],
)
def test_a_catalog_with_faults_is_refused(write: Write, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        load_catalog(write("faulty", text), tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_catalog", "names no_such_catalog, and there is no such module in .* `features init DIR` writes one"),
        ("no_such_folder.catalog", "names no_such_folder.catalog, and there is no such module"),
        ("featurestore.catalogue", "names featurestore.catalogue, and there is no such module"),
        ("shop/catalog.py", "is 'shop/catalog.py', no module's name: write shop_catalog, without path"),
        ("", "is '', no module's name"),
        (".catalog", "is '.catalog', no module's name"),
    ],
)
def test_a_name_without_a_module_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        load_catalog(name, tmp_path)


def test_a_folder_without_init_is_no_catalog(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / write("folder", "")
    folder.mkdir()
    (tmp_path / f"{folder.name}.py").unlink()
    with pytest.raises(CatalogError, match=r"a folder without __init__.py\) has no `registry`"):
        load_catalog(folder.name, tmp_path)


def test_two_modules_of_one_name_are_refused(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write("twice", DEFINITIONS + PURPOSES + REGISTRY)
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    with pytest.raises(CatalogError, match=rf"there are two: {tmp_path}/installed/{name}.py is imported, {tmp_path}/"):
        load_catalog(name, tmp_path)


def test_an_import_that_fails_within_the_catalog_names_what_is_missing(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_library'"):
        load_catalog(write("importing", "import no_such_library\n"), tmp_path)


@pytest.mark.parametrize("program", [("manage.py", "check"), ("-m", "streams", "topics", "plan")])
def test_a_process_without_its_catalog_ends_with_one_line(program: tuple[str, ...]) -> None:
    environment = without_settings() | {"RAPPORT_CATALOG": "no_such_catalog"}
    ended = subprocess.run([sys.executable, *program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("RAPPORT_CATALOG names no_such_catalog, and there is no such module in ")
    assert ended.stderr.strip().count("\n") == 0
