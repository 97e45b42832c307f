"""Conventions of the code that no linter checks."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.config import ROOT, Settings

PACKAGES = ("featurestore", "streams", "adminsite")
LONGEST_LINES = 400


def sources(*folders: str) -> list[Path]:
    return [
        path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in path.parts
    ]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(*PACKAGES, "tests", "bench", "deploy", "devservers"), ids=name)
def test_module_is_short_and_named_for_its_content(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "misc", "common"}
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_LINES


def nested_imports(tree: ast.Module) -> Iterator[int]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if any(imported and imported.split(".")[0] in PACKAGES for imported in names):
                    yield node.lineno


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=name)
def test_own_modules_are_imported_at_the_top(path: Path) -> None:
    assert list(nested_imports(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_import_inside_a_function_is_found() -> None:
    assert list(nested_imports(ast.parse("def f():\n    from featurestore.tiles import fold\n"))) == [2]


@pytest.mark.parametrize("field", Settings.model_fields)
def test_setting_is_documented_with_its_default(field: str) -> None:
    info = Settings.model_fields[field]
    default = json.dumps(info.default) if isinstance(info.default, bool | list) else str(info.default)
    default = default.replace(f"{ROOT}/", "")
    row = f"| `RAPPORT_{field.upper()}` | `{default}` | {info.description} |"
    assert row in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_documented_settings_exist_in_order() -> None:
    documented = re.findall(r"^\| `RAPPORT_(\w+)`", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), re.M)
    assert documented == [field.upper() for field in Settings.model_fields]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "bench/contestants/quix.lock"])
def test_lock_file_pins_hashes_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    requirements = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash)", text, re.M)
    assert all(re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+ .*\\$", line) for line in requirements)


def imported_packages(path: Path) -> set[str]:
    """The top-level packages that a module imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {name.partition(".")[0] for name in names}


def test_bench_and_tests_do_not_import_each_other() -> None:
    assert not [name(path) for path in sources("bench", "devservers") if "tests" in imported_packages(path)]
    own = ROOT / "tests" / "bench"
    importing = [path for path in sources("tests") if "bench" in imported_packages(path)]
    assert not [name(path) for path in importing if own not in path.parents]
