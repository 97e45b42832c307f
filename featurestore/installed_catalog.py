"""Catalog of this installation: the module that RAPPORT_CATALOG names, found, imported and checked once a process.

A catalog is a module, as a rule a package, with ``registry`` (a Registry) and ``PURPOSES`` (a tuple of Purpose).
``fingerprints.json`` beside its file has the recorded versions of its views. It is found among the installed packages
and in the installation's folder (``featurestore.config.ROOT``), by every process alike.
"""

import json
import sys
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from featurestore.config import ROOT, settings
from featurestore.definitions import Problem, Purpose, Registry

HOW = "`features init DIR` writes one to begin with"


class CatalogError(Exception):
    """Catalog that can't be used. The message states what to do."""


class Catalog(NamedTuple):
    """Definitions and purposes of an installation, and where their fingerprints are recorded."""

    module: str
    registry: Registry
    purposes: tuple[Purpose, ...]
    fingerprints: Path

    def recorded(self) -> dict[str, dict[str, int]]:
        """The fingerprints that ``features lock`` wrote, by view and version."""
        return json.loads(self.fingerprints.read_text(encoding="utf-8")) if self.fingerprints.exists() else {}

    def record(self) -> dict[str, set[str]]:
        """Record the fingerprints of views and versions that lack one; those versions, by view."""
        before = self.recorded()
        after = self.registry.fingerprints(before)
        self.fingerprints.write_text(json.dumps(after, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        new = {view: versions.keys() - before.get(view, {}).keys() for view, versions in after.items()}
        return {view: versions for view, versions in new.items() if versions}

    def problems(self) -> list[Problem]:
        """What ``features check`` reports."""
        return self.registry.check([purpose.name for purpose in self.purposes], self.recorded())

    def part(self, name: str) -> ModuleType | None:
        """A module of the catalog's package that not every catalog has; None without it."""
        is_package = hasattr(import_module(self.module), "__path__")
        full_name = f"{self.module}.{name}"
        return import_module(full_name) if is_package and find_spec(full_name) else None


@cache
def catalog() -> Catalog:
    """The catalog of this process. Raises CatalogError, DefinitionError."""
    return load_catalog(settings().catalog, ROOT)


def load_catalog(name: str, folder: Path) -> Catalog:
    """The catalog of a module, which an installation's folder may hold. Raises CatalogError, DefinitionError."""
    spec = _spec(name, folder)
    module = import_module(name)
    where = spec.origin or f"{next(iter(spec.submodule_search_locations or []), name)}, a folder without __init__.py"
    registry, purposes = getattr(module, "registry", None), getattr(module, "PURPOSES", None)
    if not isinstance(registry, Registry):
        raise CatalogError(
            f"The catalog {name} ({where}) has no `registry`: give it one, as in registry = Registry.of(MODULE, ...), "
            f"of the modules with its definitions, or let RAPPORT_CATALOG name another module; {HOW}."
        )
    if not (isinstance(purposes, tuple | list) and purposes and all(isinstance(p, Purpose) for p in purposes)):
        raise CatalogError(
            f"The catalog {name} ({where}) has no `PURPOSES`: give it a tuple of Purpose, the purposes that its views "
            "and services name."
        )
    if not registry.services:
        raise CatalogError(f"The registry of the catalog {name} ({where}) has no FeatureService: nothing can be read.")
    if faults := registry.faults([purpose.name for purpose in purposes]):
        lines = [f"{defined_at}: {message}" for defined_at, message in faults]
        raise CatalogError("\n".join([f"The catalog {name} can't be used:", *lines]))
    assert module.__file__ is not None  # a folder without __init__.py holds no registry
    return Catalog(name, registry, tuple(purposes), Path(module.__file__).with_name("fingerprints.json"))


def _spec(name: str, folder: Path) -> ModuleSpec:
    """How the module is imported, with the folder on the path. Raises CatalogError."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise CatalogError(f"RAPPORT_CATALOG is {name!r}, no module's name: write shop_catalog, without path and .py.")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # last: no file of the folder hides an installed package
    first = name.partition(".")[0]
    try:
        spec = find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    if spec is None:
        raise CatalogError(
            f"RAPPORT_CATALOG names {name}, and there is no such module in {folder} or among the installed packages. "
            f"Start the process in the folder that holds it, or install it; {HOW}."
        )
    top = find_spec(first)
    assert top is not None
    for own in (folder / first / "__init__.py", folder / f"{first}.py"):
        if own.exists() and top.origin is not None and not own.samefile(top.origin):
            raise CatalogError(
                f"RAPPORT_CATALOG names {name}, and there are two: {top.origin} is imported, {own} is not. "
                "Rename one of them."
            )
    return spec
