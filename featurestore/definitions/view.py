"""Feature views: the features of one source, kept together, under one set of purposes. Pure."""

import dataclasses
import json
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

from featurestore.aggregations.base import Aggregation, Windowed
from featurestore.definitions.errors import DefinitionError, place_of_caller
from featurestore.definitions.source import EventSource
from featurestore.definitions.windows import Rung, ladder, step_of, window_seconds

NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
STATE_FORMAT = 1  # raise it when the meaning of stored states changes


class Column(NamedTuple):
    """One aggregation over one field under one filter: what a tile holds a state of."""

    aggregation: Aggregation
    position: int | None  # of the field among the event's values; None: the event as such
    filters: tuple[tuple[int, frozenset[Any]], ...]  # (position, allowed values)


class Feature(NamedTuple):
    """One column read over one window."""

    name: str
    column: int
    window_s: int | None
    step_s: int
    default: Any


class FeatureView:
    """Features of one source, each subject's kept as one state a purpose.

    Raises DefinitionError for what is wrong in itself; the registry checks what clashes with others.
    """

    def __init__(
        self,
        name: str,
        *,
        source: EventSource,
        purposes: Collection[str],
        features: Sequence[Windowed],
        max_age_s: int = 60,
        owner: str = "",
        description: str = "",
        version: int = 1,
        defaults: Mapping[str, Any] | None = None,
    ):
        self.place = place_of_caller()
        self.name, self.source, self.purposes = name, source, frozenset(purposes)
        self.max_age_s, self.owner, self.description, self.version = max_age_s, owner, description, version
        self._require_sound(features)
        self.columns: tuple[Column, ...] = ()
        self.features: tuple[Feature, ...] = ()
        for windowed in features:
            self._add(windowed, dict(defaults or {}))
        unknown = set(defaults or {}) - {feature.name for feature in self.features}
        if unknown:
            raise self._error(f"defaults name no feature of the view: {', '.join(sorted(unknown))}")
        self.ladder: tuple[Rung, ...] = ladder(feature.window_s for feature in self.features)

    def _error(self, message: str) -> DefinitionError:
        return DefinitionError(f"view {self.name}: {message}", self.place)

    def _require_sound(self, features: Sequence[Windowed]) -> None:
        if not NAME.fullmatch(self.name):
            raise self._error("a name has lower-case letters, digits and _, begins with a letter, at most 100 of them")
        if not self.purposes:
            raise self._error("name at least one purpose, or nobody may read it")
        if not features:
            raise self._error("list at least one feature")
        for windowed in features:
            if not isinstance(windowed, Windowed):
                raise self._error(f"{windowed!r} has no windows: end it with .over(...)")
            if not windowed.windows:
                raise self._error(f"{windowed.aggregation.name}: .over() needs a window, or lifetime")
        if self.max_age_s <= 0:
            raise self._error("max_age_s is the seconds after which an answer is stale: a positive number")

    def _add(self, windowed: Windowed, defaults: Mapping[str, Any]) -> None:
        column = self._column(windowed.aggregation)
        if column not in self.columns:
            self.columns += (column,)
        aggregation = column.aggregation
        for window in windowed.windows:
            try:
                window_s = window_seconds(window)
            except ValueError as error:
                raise self._error(str(error)) from None
            name = self._feature_name(windowed, window)
            if not NAME.fullmatch(name) or any(name == feature.name for feature in self.features):
                raise self._error(f"feature {name} is there twice or ill-named: give one of them another name=")
            default = aggregation.empty if windowed.default is None else windowed.default
            self.features += (Feature(name, self.columns.index(column), window_s, step_of(window_s), defaults.get(name, default)),)

    def _feature_name(self, windowed: Windowed, window: str) -> str:
        if windowed.name and len(windowed.windows) == 1:
            return windowed.name
        field = windowed.aggregation.field
        stem = windowed.name or "_".join(filter(None, (self.name, field, windowed.aggregation.name)))
        return f"{stem}_{window}"

    def _column(self, aggregation: Aggregation) -> Column:
        try:
            filters = tuple(self._filter(name, wanted) for name, wanted in sorted(aggregation.where.items()))
            if aggregation.field is None:
                if aggregation.needs_field:
                    raise self._error(f"{aggregation.name} needs a field")
                return Column(aggregation.bind(None), None, filters)
            field = self.source.field(aggregation.field)
        except KeyError as error:
            raise self._error(error.args[0]) from None
        if field.kind not in aggregation.takes:
            takes = ", ".join(sorted(aggregation.takes))
            raise self._error(f"{aggregation.name} takes {takes}; {field.name} is {field.kind}")
        return Column(aggregation.bind(field.kind, field.places), self.source.positions[field.name], filters)

    def _filter(self, name: str, wanted: Any) -> tuple[int, frozenset[Any]]:
        field = self.source.field(name)
        values = frozenset(wanted) if isinstance(wanted, list | tuple | set | frozenset) else frozenset([wanted])
        if field.literals and not values <= set(field.literals):
            strange = ", ".join(map(repr, sorted(values - set(field.literals))))
            raise self._error(f"where: {name} is never {strange}; it is one of {', '.join(map(repr, field.literals))}")
        return self.source.positions[name], values

    @cached_property
    def fingerprint(self) -> int:
        """32 bits of everything that the stored state depends on. A changed one starts empty."""
        text = json.dumps([STATE_FORMAT, self.source.name, self.ladder, [_spec(c) for c in self.columns]], sort_keys=True)
        return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big")

    @property
    def longest_s(self) -> int | None:
        """The longest window, None if one is lifetime."""
        return self.ladder[-1].window_s


def _spec(column: Column) -> list[Any]:
    aggregation = column.aggregation
    parameters = {f.name: getattr(aggregation, f.name) for f in dataclasses.fields(aggregation) if f.name != "where"}
    filters = [[position, sorted(map(repr, values))] for position, values in column.filters]
    return [aggregation.name, parameters, filters]
