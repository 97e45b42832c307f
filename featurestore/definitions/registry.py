"""Registry of every definition of an installation, and the check for clashes among them. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import NamedTuple

from featurestore.definitions.bounds import RECORD_BYTES
from featurestore.definitions.service import FeatureService
from featurestore.definitions.source import EventSource
from featurestore.definitions.view import Feature, FeatureView


class Problem(NamedTuple):
    """Error in the definitions: the file and line to change, and how."""

    defined_at: str
    message: str


class Registry:
    """Sources, views and services by name, collected from the modules that define them."""

    def __init__(self, definitions: Iterable[object]):
        found = list({id(d): d for d in definitions}.values())
        self._sources = [d for d in found if isinstance(d, EventSource)]
        self._views = [d for d in found if isinstance(d, FeatureView)]
        self._services = [d for d in found if isinstance(d, FeatureService)]
        self.sources: Mapping[str, EventSource] = {source.name: source for source in self._sources}
        self.views: Mapping[str, FeatureView] = {view.name: view for view in self._views}
        self.services: Mapping[str, FeatureService] = {service.name: service for service in self._services}

    @classmethod
    def of(cls, *modules: ModuleType) -> "Registry":
        """The registry of all definitions that modules hold as public names."""
        return cls(value for module in modules for name, value in vars(module).items() if not name.startswith("_"))

    def views_of(self, source: str) -> list[FeatureView]:
        """The views that a source feeds."""
        return [view for view in self._views if view.source.name == source]

    def check(self, purposes: Iterable[str], recorded: Mapping[str, Mapping[str, int]]) -> list[Problem]:
        """Every problem: faults, and definitions that changed without a new version.

        ``recorded`` maps a view's name to the fingerprints of its versions, as ``features lock`` wrote them.
        """
        return [*self.faults(purposes), *self._changed(recorded)]

    def faults(self, purposes: Iterable[str]) -> list[Problem]:
        """Problems with which no process starts: equal names, undeclared purposes, absent sources, too much state."""
        return [
            *self._clashes(),
            *self._absent(),
            *self._undeclared(frozenset(purposes)),
            *self._too_large(),
        ]

    def fingerprints(self, recorded: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
        """``recorded`` and the views and versions that it lacks. Recorded fingerprints stay, to show changes."""
        merged = {name: dict(versions) for name, versions in recorded.items()}
        for view in self._views:
            merged.setdefault(view.name, {}).setdefault(str(view.version), view.fingerprint)
        return merged

    def _clashes(self) -> Iterable[Problem]:
        for what, items in (("source", self._sources), ("view", self._views), ("service", self._services)):
            names = Counter(item.name for item in items)
            for item in items:
                if names[item.name] > 1:
                    yield Problem(
                        item.defined_at, f"{what} {item.name} is defined {names[item.name]} times: rename one"
                    )
        firsts: dict[str, tuple[FeatureView, Feature]] = {}
        for view in self._views:
            for feature in view.features:
                other, first = firsts.setdefault(feature.name, (view, feature))
                if other is not view:
                    message = (
                        f"feature {feature.name} is also in view {other.name} ({first.defined_at}): give one a name="
                    )
                    yield Problem(feature.defined_at, f"view {view.name}: {message}")

    def _absent(self) -> Iterable[Problem]:
        for view in self._views:
            if view.source not in self._sources:
                yield Problem(
                    view.defined_at, f"view {view.name}: its source {view.source.name} is not in the registry"
                )
        for service in self._services:
            for view in service.views:
                if view not in self._views:
                    message = f"service {service.name}: its view {view.name} is not in the registry"
                    yield Problem(service.defined_at, message)

    def _undeclared(self, purposes: frozenset[str]) -> Iterable[Problem]:
        declared = ", ".join(sorted(purposes))
        users = [(item.defined_at, f"view {item.name}", item.purposes) for item in self._views]
        users += [(item.defined_at, f"service {item.name}", frozenset([item.purpose])) for item in self._services]
        for defined_at, user, named in users:
            for purpose in sorted(named - purposes):
                yield Problem(defined_at, f"{user}: the purpose {purpose} is not declared; declared: {declared}")

    def _changed(self, recorded: Mapping[str, Mapping[str, int]]) -> Iterable[Problem]:
        for view in self._views:
            known = recorded.get(view.name, {}).get(str(view.version))
            if known is None:
                message = f"view {view.name} version {view.version} is not recorded: run `manage.py features lock`"
                yield Problem(view.defined_at, message)
            elif known != view.fingerprint:
                message = (
                    f"view {view.name} changed under version {view.version}: its stored values would start empty; "
                    f"raise version={view.version + 1} and run `manage.py features lock`, or undo the change"
                )
                yield Problem(view.defined_at, message)

    def _too_large(self) -> Iterable[Problem]:
        for source in self._sources:
            views = self.views_of(source.name)
            most_bytes = sum(len(view.purposes) * view.bounds.view_bytes for view in views)
            if most_bytes > RECORD_BYTES:
                yield Problem(
                    source.defined_at,
                    f"source {source.name}: a customer's views may take {most_bytes:,} bytes, each once a purpose, "
                    f"at most {RECORD_BYTES:,}: give views fewer purposes or windows, or let another source feed some",
                )
