"""Pages of the documentation: code runs, requests are answered as shown, commands, links, settings and paths exist."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import get_commands

from adminsite.__main__ import PROGRAMS
from featurestore.config import ROOT, Settings
from tests.docs.conftest import Curl
from tests.docs.pages import PAGES, Block, anchors, blocks, links, name, prose
from tests.kit.serving_environment import ServingEnvironment

MAX_LINE_LENGTH = 120
MAX_README_LINES = 200
STORE_UNAVAILABLE = "the-store-is-unavailable"
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
DIFFERS = {"instance", "record", "access_token", "id"}
"""Fields whose values differ in each answer."""

MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
STREAMS_COMMANDS = {"worker", "topics", "republish", "broker"}
COMPOSE_SERVICES = set(
    re.findall(r"^  ([a-z-]+):", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"), re.MULTILINE)
)

of_every_page = pytest.mark.parametrize("page", PAGES, ids=name)


def pages_with(language: str) -> Any:
    pages = [page for page in PAGES if any(block.language == language for block in blocks(page))]
    return pytest.mark.parametrize("page", pages, ids=name)


@pages_with("python")
def test_code_of_a_page_runs(page: Path) -> None:
    """In a process of its own: other tests must not find the aggregations that a page defines."""
    done = subprocess.run([sys.executable, "-m", "tests.docs.pages", page], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def requests(page: Path) -> Iterator[tuple[Block, Block]]:
    """Each curl command of a page, with the answer that follows."""
    for block, following in pairwise(blocks(page)):
        if block.text.startswith("curl"):
            assert following.language == "json", f"{name(page)}:{block.line}: show the answer"
            yield block, following


@pytest.mark.parametrize("page", [page for page in PAGES if "\ncurl" in page.read_text(encoding="utf-8")], ids=name)
def test_requests_are_answered_as_shown(
    page: Path, curl: Curl, environment: ServingEnvironment, customers: None
) -> None:
    for block, answer in requests(page):
        environment.store.available = STORE_UNAVAILABLE not in block.note
        response = curl(block.text)
        where = f"{name(page)}:{answer.line}"
        assert response.status_code == int(answer.note), where
        shown, got = msgspec.json.decode(answer.text), response.json()
        assert matches(got, shown, exact=page.name != "README.md"), f"{where}: {response.content.decode()}"


def matches(got: Any, shown: Any, *, exact: bool) -> bool:
    """Whether an answer equals the shown one, except for times and DIFFERS; unless ``exact``, any number equals any."""
    if isinstance(shown, dict):
        return got.keys() == shown.keys() and all(
            type(got[k]) is type(shown[k]) if k in DIFFERS else matches(got[k], shown[k], exact=exact) for k in shown
        )
    if isinstance(shown, list):
        return len(got) == len(shown) and all(matches(g, s, exact=exact) for g, s in zip(got, shown, strict=True))
    if isinstance(shown, str) and TIME.fullmatch(shown):
        return isinstance(got, str) and TIME.fullmatch(got) is not None
    if isinstance(shown, int | float) and not isinstance(shown, bool) and not exact:
        return isinstance(got, int | float) and not isinstance(got, bool)
    return bool(got == shown)


def commands(page: Path) -> Iterator[tuple[int, list[str]]]:
    """Commands of a page, with their lines, split into words: shell blocks, indented lines and code in the text."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        if block.language == "sh" and not block.text.startswith("curl"):
            for line in block.text.replace("\\\n", " ").splitlines():
                yield block.line, shlex.split(line)
    for found in re.finditer(r"^    (\S.*)$|`([^`\n]+)`", prose(page), re.MULTILINE):
        typed = found[1] or found[2]
        if re.match(r"(make|manage\.py|rapport|python -m|\S*python (-m|manage)|docker compose) ", typed):
            yield text.count("\n", 0, text.find(typed)) + 1, shlex.split(typed)


def error_of(words: list[str]) -> str | None:
    """Why a command would fail; None if it would not."""
    while words and "=" in words[0]:
        words = words[1:]
    match words:
        case ["make", *targets]:
            unknown = {word for word in targets if "=" not in word} - MAKE_TARGETS
            missing = [path for word in targets if word.startswith("ARGS=") for path in missing_tests(word[5:])]
            return f"no target {unknown}" if unknown else f"no file {missing}" if missing else None
        case ["docker", "compose", "run", "--rm", service, _, *rest]:
            return f"no service {service}" if service not in COMPOSE_SERVICES else error_of(rest)
        case ["docker", "compose", *_]:
            return None
        case [python, *rest] if python.rpartition("/")[2] == "python":
            return error_of(rest)
        case ["rapport", program, *rest] if program in PROGRAMS:
            return error_of(["-m", "streams", *rest]) if program == "streams" else None
        case ["manage.py" | "rapport", command, *_]:
            return None if command in get_commands() else f"no command {command}"
        case ["-m", "streams", command, *_]:
            return None if command in STREAMS_COMMANDS else f"no command {command}"
        case ["-m", module, *_]:
            return None if find_spec(module) else f"no module {module}"
        case ["set", *_]:
            return None
    return "no check for such a command: extend error_of"


def missing_tests(arguments: str) -> list[str]:
    """Paths among pytest's arguments that do not exist."""
    return [word for word in shlex.split(arguments) if "/" in word and not (ROOT / word).exists()]


@of_every_page
def test_commands_exist(page: Path) -> None:
    wrong = [
        (f"{name(page)}:{line}", " ".join(words), why) for line, words in commands(page) if (why := error_of(words))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "typed",
    [
        "make nothing",
        "manage.py nothing",
        "python -m streams nothing",
        "python -m no_such",
        "rm -rf /",
        "rapport nothing",
        "rapport streams nothing",
    ],
)
def test_unknown_command_is_reported(typed: str) -> None:
    assert error_of(shlex.split(typed))


@of_every_page
def test_links_resolve(page: Path) -> None:
    for target in links(page):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name(page)} links to {target}"
        assert not fragment or fragment in anchors(file), f"{name(page)} links to {target}: no such heading"


def reached_from(start: Path) -> set[Path]:
    """Every page that can be reached by links from ``start``."""
    reached, waiting = set(), [start]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = (target.partition("#")[0] for target in links(page) if "://" not in target)
        waiting += [file for target in targets if (file := (page.parent / target).resolve()).suffix == ".md"]
    return reached


def test_every_page_is_linked() -> None:
    assert reached_from(ROOT / "README.md") == set(PAGES)
    questions = {(ROOT / "docs" / target).resolve() for target in links(ROOT / "docs" / "README.md")}
    assert {page for page in PAGES if page.parent == ROOT / "docs" and page.name != "README.md"} <= questions


@of_every_page
def test_lines_are_short_and_settings_exist(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > MAX_LINE_LENGTH and not line.startswith("|")] == []
    named = set(re.findall(r"RAPPORT_([A-Z_]+)", "\n".join(lines))) - {"TEST_DATA", "HOST", "IMAGE"}
    assert {setting.lower() for setting in named} <= set(Settings.model_fields)


def test_readme_is_shorter_than_200_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < MAX_README_LINES


@of_every_page
def test_named_paths_exist(page: Path) -> None:
    for path in re.findall(r"`((?:featurestore|streams|adminsite|tests|deploy|bench|docs)/[\w./-]*)`", prose(page)):
        assert (ROOT / path).exists(), f"{name(page)} names {path}"
