"""The rules of the house that no linter knows."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.config import ROOT, Settings

OURS = ("featurestore", "streams", "adminsite")
LONGEST_LINES = 400


def sources(*folders: str) -> list[Path]:
    return [
        path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in path.parts
    ]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(*OURS, "tests", "bench", "deploy"), ids=name)
def test_a_module_is_a_noun_of_a_readable_length(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "misc", "common"}
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_LINES


def hidden_imports(tree: ast.Module) -> Iterator[int]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if any(imported and imported.split(".")[0] in OURS for imported in names):
                    yield node.lineno


@pytest.mark.parametrize("path", sources(*OURS), ids=name)
def test_our_own_modules_are_imported_at_the_top(path: Path) -> None:
    assert list(hidden_imports(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_a_hidden_import_is_seen() -> None:
    assert list(hidden_imports(ast.parse("def f():\n    from featurestore.tiles import fold\n"))) == [2]


@pytest.mark.parametrize("field", Settings.model_fields)
def test_a_setting_is_documented(field: str) -> None:
    info = Settings.model_fields[field]
    default = json.dumps(info.default) if isinstance(info.default, bool | list) else str(info.default)
    default = default.replace(f"{ROOT}/", "")
    row = f"| `RAPPORT_{field.upper()}` | `{default}` | {info.description} |"
    assert row in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_no_documented_setting_is_gone() -> None:
    documented = re.findall(r"^\| `RAPPORT_(\w+)`", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), re.M)
    assert documented == [field.upper() for field in Settings.model_fields]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "bench/contestants/quix.lock"])
def test_a_lock_pins_everything_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    requirements = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash)", text, re.M)
    assert all(re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+ .*\\$", line) for line in requirements)
