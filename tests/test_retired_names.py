"""Retired identifiers: names that docs/terms.md replaced, and that must not come back.

Each entry is a word of an identifier, and the term to use. A word matches a whole part of a name: ``lane`` is found in
``lane``, ``free_lanes`` and ``FastLane``, and not in ``plane``.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("featurestore", "streams", "adminsite", "devservers", "deploy", "bench", "tests")

RETIRED = {  # a regular expression over a lower-case part of a name, with its plural
    "bundle": "fetch batch",
    "lane": "partition queue, fast path",
    "folding": "view update",
    "fate": "outcome",
    "birth": "coverage start",
    "edition": "layout id",
    "voucher": "store verifier, node verifier",
    "ledger": "change sequence",
    "standing": "status",
    "ladder": "resolutions",
    "rung": "resolution",
    "slack": "max clock skew",
    "twin": "equal states",
    "letter(box)?": "dead letter, encoding code",
    "postoffice": "dead-letter topic",
    "keyring": "credential cache",
    "recorder": "access log writer",
    "entrust(ed)?": "assign",
    "tended": "request",
    "seal|sealed": "sign",
    "desk": "environment",
    "revocations": "cache invalidation",
    "farewell": "shutdown record",
    "noted": "log fields",
    "room": "concurrency limit, package",
    "door": "adapter",
    "town|plant|world": "environment, harness",
    "refill": "republication",
    "rebuild": "republication",
    "sweep": "drop",
}
TYPES = {  # whole names of classes and type aliases
    "Folder": "SourceProcessor",
    "Share": "SourceBatch",
    "Gate": "RetryingStore",
    "Grant": "PurposePermission",
    "Holder": "client",
    "Mark": "Watermark",
    "Stamp": "FencingHeader",
    "PackedTiles": "EncodedTiles",
    "Put": "PublishResult",
    "PurposeState": "ConsentState",
    "QueryTooEarly": "ReaderClockBehind",
    "Room": "ConcurrencyLimit",
    "Asked|Decided|Denied|Heard|Kept|Noted|Served|Told|Written": "a noun",
}
COMPOUND = {  # a regular expression over a whole name in snake case
    r"dead_letters?(_.*)?|.*_dead_letters?(_.*)?": {"letter(box)?"},  # the field's own term
}
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}


class Name(NamedTuple):
    """An identifier, or the text of a log event or a metric."""

    kind: str
    text: str
    place: str


def parts_of(name: str) -> list[str]:
    """The words of an identifier in lower case.

    >>> parts_of("FastLane"), parts_of("MOST_LANES"), parts_of("rapport_lanes_total")
    (['fast', 'lane'], ['most', 'lanes'], ['rapport', 'lanes', 'total'])
    """
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def retired_in(name: str) -> str | None:
    """The retired word of a name, with its replacement; None without one."""
    parts = parts_of(name)
    excused = {word for shape, words in COMPOUND.items() if re.fullmatch(shape, "_".join(parts)) for word in words}
    for word, term in RETIRED.items():
        if word not in excused and any(re.fullmatch(f"(?:{word})s?", part) for part in parts):
            return f"{name}: {word} is now {term}"
    return None


def retired_type(name: str) -> str | None:
    """The replacement of a retired class name; None if it is not retired."""
    return next((f"{name} is now {term}" for old, term in TYPES.items() if re.fullmatch(old, name)), None)


def names_in(file: Path) -> Iterator[Name]:
    """Modules, classes, functions, parameters, assigned names, log events and metrics of a file."""
    place = str(file.relative_to(ROOT))
    yield Name("module", file.stem, place)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        at = f"{place}:{getattr(node, 'lineno', 0)}"
        match node:
            case ast.ClassDef(name=name):
                yield Name("class", name, at)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield Name("function", name, at)
            case ast.arg(arg=name):
                yield Name("parameter", name, at)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield Name("assigned name", name, at)
            case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant(value=str(text)), *_]) if (
                method in LOG_METHODS
            ):
                yield Name("log event", text, at)
            case ast.Constant(value=str(text)) if re.fullmatch(r"rapport_[a-z_]+", text):
                yield Name("metric", text, at)


def files() -> list[Path]:
    found = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return [file for file in found if "migrations" not in file.parts and file != Path(__file__).resolve()]


def test_retired_identifiers_do_not_return() -> None:
    found = [
        f"{name.place}: {name.kind} {reason}"
        for file in files()
        for name in names_in(file)
        if (reason := retired_in(name.text) or (retired_type(name.text) if name.kind == "class" else None))
    ]
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize(
    ("name", "retired"),
    [("FastLane", True), ("airplane", False), ("free_lanes", True), ("dead_letters", False), ("letters", True),
     ("DeadLetterTopic", False), ("rapport_stream_fate", True), ("foundation", False)],
)  # fmt: skip
def test_retired_words_match_whole_parts_of_names(name: str, retired: bool) -> None:
    assert (retired_in(name) is not None) is retired


def test_every_replacement_is_in_the_glossary() -> None:
    terms = (ROOT / "docs" / "terms.md").read_text(encoding="utf-8").lower()
    plain = {"assign", "base class", "environment", "harness", "outcome", "package", "request", "sign", "status"}
    replacements = {part.strip() for term in RETIRED.values() for part in term.split(",")}
    assert {term for term in replacements - plain if term.removesuffix("s") not in terms} == set()
