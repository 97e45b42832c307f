"""Feature view: features of one source with common state, under one set of purposes. Pure."""

import dataclasses
import json
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

from featurestore.aggregations.answers import ValueType
from featurestore.aggregations.base import NUMBER_BYTES, Aggregation, WindowedAggregation
from featurestore.definitions.bounds import Bounded, ViewBounds, view_bounds
from featurestore.definitions.errors import DefinitionError, caller_line, file_line
from featurestore.definitions.source import EventSource
from featurestore.definitions.windows import Resolution, resolution_of, resolutions_of, window_seconds

NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
STATE_FORMAT = 3
"""Raise it whenever stored states get another meaning: when the ``cells`` or the algorithm of an aggregation change.
The fingerprint has an aggregation's name and parameters, not its code; without a raise, new code reads old states.
"""


class ViewAggregation(NamedTuple):
    """Aggregation of one field under one filter. A tile has one state for each aggregation of its view."""

    aggregation: Aggregation
    position: int | None  # of the field among the event's values; None: the event as such
    filters: tuple[tuple[int, frozenset[Any]], ...]  # (position, allowed values)


class Feature(NamedTuple):
    """One of a view's aggregations, read over one window."""

    name: str
    aggregation_index: int  # in the view's aggregations
    window_s: int | None
    resolution_s: int
    default: Any
    defined_at: str = ""  # file and line of its definition


class FeatureView:
    """Features of one source. Each subject has one state of the view for each purpose.

    Raises DefinitionError for a definition that is wrong in itself; the registry checks for clashes with others.
    """

    aggregations: tuple[ViewAggregation, ...] = ()
    features: tuple[Feature, ...] = ()

    def __init__(
        self,
        name: str,
        *,
        source: EventSource,
        purposes: Collection[str],
        features: Sequence[WindowedAggregation],
        max_age_s: int = 60,
        owner: str = "",
        description: str = "",
        version: int = 1,
        defaults: Mapping[str, Any] | None = None,
    ):
        self.defined_at = caller_line()
        self.name, self.source = name, source
        self.purposes = frozenset([purposes] if isinstance(purposes, str) else purposes)
        self.max_age_s, self.owner, self.description, self.version = max_age_s, owner, description, version
        self._require_sound(features)
        for windowed in features:
            self._add(windowed, dict(defaults or {}))
        unknown = set(defaults or {}) - {feature.name for feature in self.features}
        if unknown:
            raise self._error(f"defaults name no feature of the view: {', '.join(sorted(unknown))}")
        self.resolutions: tuple[Resolution, ...] = resolutions_of(feature.window_s for feature in self.features)
        self.bounds = self._bounds()

    def _error(self, message: str, windowed: WindowedAggregation | None = None) -> DefinitionError:
        return DefinitionError(
            f"view {self.name}: {message}", self._defined_at(windowed) if windowed else self.defined_at
        )

    def _bounds(self) -> ViewBounds:
        bounded = [
            Bounded(one.aggregation, self.value_bytes(one.position), self.longest_window_s(i))
            for i, one in enumerate(self.aggregations)
        ]
        try:
            return view_bounds(bounded, self.resolutions)
        except ValueError as error:
            raise self._error(str(error)) from None

    def value_bytes(self, position: int | None) -> int:
        """The most bytes of a field's value as msgpack; ``position`` is the field's among the event's values."""
        return NUMBER_BYTES if position is None else list(self.source.fields.values())[position].most_bytes

    def _defined_at(self, windowed: WindowedAggregation) -> str:
        return file_line(*windowed.defined_at) if windowed.defined_at else self.defined_at

    def _require_sound(self, features: Sequence[WindowedAggregation]) -> None:
        if not NAME.fullmatch(self.name):
            raise self._error("a name has lower-case letters, digits and _, begins with a letter, at most 100 of them")
        if not self.purposes:
            raise self._error("name at least one purpose: without one it may not be read")
        if not features:
            raise self._error("list at least one feature")
        for windowed in features:
            if not isinstance(windowed, WindowedAggregation):
                raise self._error(f"{windowed!r} has no windows: end it with .over(...)")
            if not windowed.windows:
                raise self._error(f"{windowed.aggregation.name}: .over() needs a window, or lifetime", windowed)
        if self.max_age_s <= 0:
            raise self._error("max_age_s is the seconds after which an answer is stale: a positive number")

    def _add(self, windowed: WindowedAggregation, defaults: Mapping[str, Any]) -> None:
        view_aggregation = self._view_aggregation(windowed)
        if view_aggregation not in self.aggregations:
            self.aggregations += (view_aggregation,)
        aggregation = view_aggregation.aggregation
        for window in windowed.windows:
            try:
                window_s = window_seconds(window)
            except ValueError as error:
                raise self._error(str(error), windowed) from None
            name = self._feature_name(windowed, window)
            if not NAME.fullmatch(name) or any(name == feature.name for feature in self.features):
                raise self._error(
                    f"feature {name} is listed twice or its name is not allowed: give it another name=", windowed
                )
            default = defaults.get(name, windowed.default)
            if default is None:
                default = aggregation.empty
            elif aggregation.empty is not None:  # +5 and -5 sum up to 0 as well: a default would hide them
                answer = f"feature {name} answers {aggregation.empty!r} when nothing was counted"
                raise self._error(f"{answer}; a default is only for one that would answer null: leave it out", windowed)
            elif not aggregation.answer_type().fits(default):
                wanted = aggregation.answer_type().type
                raise self._error(f"feature {name} answers a value of type {wanted}: let its default be one", windowed)
            index = self.aggregations.index(view_aggregation)
            self.features += (
                Feature(name, index, window_s, resolution_of(window_s), default, self._defined_at(windowed)),
            )

    def _feature_name(self, windowed: WindowedAggregation, window: str) -> str:
        if windowed.name and len(windowed.windows) == 1:
            return windowed.name
        field = windowed.aggregation.field
        stem = windowed.name or "_".join(filter(None, (self.name, field, windowed.aggregation.name)))
        return f"{stem}_{window}"

    def _view_aggregation(self, windowed: WindowedAggregation) -> ViewAggregation:
        aggregation = windowed.aggregation
        try:
            filters = tuple(self._filter(name, wanted) for name, wanted in sorted(aggregation.where.items()))
            if aggregation.field is None:
                if aggregation.needs_field:
                    raise ValueError(f"{aggregation.name} needs a field")
                return ViewAggregation(aggregation.bind(None), None, filters)
            field = self.source.field(aggregation.field)
            if field.kind not in aggregation.takes:
                takes = ", ".join(sorted(aggregation.takes))
                raise ValueError(f"{aggregation.name} takes {takes}; {field.name} is {field.kind}")
        except (KeyError, ValueError) as error:
            raise self._error(error.args[0], windowed) from None
        bound = aggregation.bind(field.kind, field.places)
        return ViewAggregation(bound, self.source.positions[field.name], filters)

    def _filter(self, name: str, wanted: Any) -> tuple[int, frozenset[Any]]:
        field = self.source.field(name)
        options = list(wanted) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
        if not options:
            raise ValueError(f"where: {name} is given no value to have")
        return self.source.positions[name], frozenset(field.literal(option) for option in options)

    @cached_property
    def fingerprint(self) -> int:
        """Hash of the view's definition and STATE_FORMAT, 32 bits. Under another fingerprint a view starts empty."""
        who = [STATE_FORMAT, self.name, self.version, sorted(self.purposes), self.source.name]
        states = [
            (self._spec(one), self.finest_resolution_s(i), self.longest_window_s(i))
            for i, one in enumerate(self.aggregations)
        ]
        text = json.dumps([who, self.resolutions, states], sort_keys=True)
        return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big")

    def finest_resolution_s(self, aggregation_index: int) -> int | None:
        """The resolution of the shortest window that an aggregation is read over; None if it has lifetime alone."""
        windowed = (feature for feature in self.features if feature.window_s is not None)
        return min((f.resolution_s for f in windowed if f.aggregation_index == aggregation_index), default=None)

    def longest_window_s(self, aggregation_index: int) -> int | None:
        """The longest window that an aggregation is read over; None for lifetime."""
        windows = [f.window_s for f in self.features if f.aggregation_index == aggregation_index]
        return None if None in windows else max(window_s for window_s in windows if window_s is not None)

    @property
    def longest_s(self) -> int | None:
        """The longest window in seconds; None if one is lifetime."""
        return self.resolutions[-1].window_s

    def type_of(self, feature: Feature) -> ValueType:
        """The type and unit of a feature's value, which may be null where its default is."""
        aggregation = self.aggregations[feature.aggregation_index].aggregation
        unit = self.source.fields[aggregation.field].unit if aggregation.field else None
        return aggregation.answer_type(unit)

    def _spec(self, view_aggregation: ViewAggregation) -> list[Any]:
        aggregation, names = view_aggregation.aggregation, list(self.source.fields)
        parameters = {part.name: getattr(aggregation, part.name) for part in dataclasses.fields(aggregation)}
        del parameters["where"]  # is in the filters
        filters = [[names[position], sorted(map(repr, values))] for position, values in view_aggregation.filters]
        return [aggregation.name, parameters, filters]
