"""Environment of the tests of exports: data locations in memory, an export folder, and an independent reader."""

import csv
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema_rs import Draft202012Validator

from featurestore.locations import ErasePage, Item, LocationUnavailable, Page, Person, Proof, Registry
from featurestore.requests.export import collection, overview
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.services import show_link, start
from featurestore.requests.export.work import advance
from tests.kit.requests import NOON, OLIVIA, RequestsEnvironment

CANARY = "canary-of-somebody-else-8841"
LONG_AGO = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


class MemoryLocation:
    """Data location of items in memory, by subject. ``down``: it does not answer; ``fails``: it raises this."""

    stored_in = ()
    personal_data, erased_by = "What the test puts there.", "Never."
    derived_from: tuple[str, ...] = ()
    erased_after: tuple[str, ...] = ()

    def __init__(self, name: str, items: Callable[[str], Sequence[Item]]) -> None:
        self.name, self.title, self._items = name, name.title(), items
        self.down, self.calls = False, 0
        self.fails: Exception | None = None

    def gone_within(self) -> timedelta:
        return timedelta(days=3)

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        self.calls += 1
        if self.down:
            raise LocationUnavailable("the test's server does not answer. Start it.")
        if self.fails:
            raise self.fails
        items = [item for subject in person.subjects for item in self._items(subject)]
        first = int(after or 0)
        found = list(items[first : first + limit])
        return Page(found, str(first + limit) if first + limit < len(items) else None)

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        return ErasePage(0, 0, None)

    def pause(self, person: Person, actor: str, reason: str) -> int:
        return 0

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        return Proof(0, 0, 0, None)


def orders(subject: str) -> list[Item]:
    """Six hundred orders of every subject: more than a page."""
    return [
        Item("Orders", "web shop", LONG_AGO + timedelta(hours=n), {"order": n, "total": n * 1.5, "tags": ["a", f"{n}"]})
        for n in range(600)
    ]


def notes(subject: str) -> list[Item]:
    """Three texts, of which one begins like a formula and one names a third person."""
    return [
        Item("Letters", "e-mail", LONG_AGO, {"text": "=1+1", "about": "me"}),
        Item("Letters", "e-mail", None, {"text": 'zwei\nZeilen, "und" mehr; ä', "about": "me"}),
        Item("Letters", "chat", LONG_AGO, {"text": f"says {CANARY}", "about": "somebody else", "score": None}),
    ]


def reader() -> Any:
    """The independent reader of packages."""
    return pytest.importorskip("pyzipper", reason="opens packages: install what requirements-dev.lock names")


def is_readable(path: Path, passphrase: str) -> bool:
    """Whether a passphrase opens a package, and all of it is as it was written."""
    pyzipper = reader()
    try:
        with pyzipper.AESZipFile(path) as package:
            package.setpassword(passphrase.encode())
            return package.testzip() is None
    except (RuntimeError, pyzipper.BadZipFile, zlib.error):
        return False


class Opened(NamedTuple):
    """A package that was opened: file names and contents, the manifest."""

    files: dict[str, bytes]
    manifest: dict[str, Any]

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[f"data/{name}.jsonl"].splitlines()]

    def rows(self, name: str) -> list[dict[str, str]]:
        text = self.files[f"data/{name}.csv"].decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text, newline="")))


def read_package(path: Path, passphrase: str) -> Opened:
    """Open a package as its owner would, by a reader that shares no code with the writer, and verify all it says."""
    pyzipper = reader()
    with pyzipper.AESZipFile(path) as package:
        package.setpassword(passphrase.encode())
        assert package.testzip() is None
        files = {name: package.read(name) for name in package.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    listed = {one["name"]: one for one in manifest["files"]}
    assert listed.keys() == files.keys()
    for name, content in files.items():
        assert listed[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert listed[name]["bytes"] == len(content)
        if "schema" in listed[name]:
            schema = json.loads(files[listed[name]["schema"]])
            validator = Draft202012Validator(schema, validate_formats=True)
            lines = content.splitlines()
            assert len(lines) == listed[name]["items"]
            for line in lines:
                validator.validate(json.loads(line))
    return Opened(files, manifest)


class ExportEnvironment:
    """Requests' environment with two data locations, and exports that are taken from step to step."""

    def __init__(self, requests: RequestsEnvironment, registry: Registry, folder: Path) -> None:
        self.requests, self.registry, self.folder = requests, registry, folder
        self.orders, self.notes = MemoryLocation("orders", orders), MemoryLocation("letters", notes)
        registry.register(self.orders, self.notes)

    def started(self, at: datetime = NOON, **fields: Any) -> DataExport:
        request = self.requests.verified(fields.pop("type_", "access"), at, **fields)
        return start(request.reference, OLIVIA, at)

    def collected(self, at: datetime = NOON, **fields: Any) -> DataExport:
        export = self.started(at, **fields)
        advance(at)
        return reloaded(export)

    def opened(self, export: DataExport, at: datetime = NOON) -> Opened:
        """The package of a released export."""
        return read_package(self.folder / f"{export.name}.zip", show_link(export.pk, OLIVIA, at).passphrase)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []


def reloaded(export: DataExport) -> DataExport:
    return DataExport.objects.select_related("request").get(pk=export.pk)


def use(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    """Have exports walk the locations of this registry."""
    for module in (collection, overview):
        monkeypatch.setattr(module, "data_locations", lambda: registry)
