"""Definitions as JSON, for `features show` and GET /v1/services: enough to compute a value again from raw events. Pure.

A value at time q covers the events with ``floor(q - window_s, step_s) <= time``, of those that have the field and
pass the filter. Times are floored to whole multiples of the resolution since 1970.
"""

import dataclasses
from typing import Any, TypedDict

from featurestore.aggregations.answers import DIMENSIONLESS
from featurestore.aggregations.base import Aggregation
from featurestore.definitions.service import FeatureService
from featurestore.definitions.view import Feature, FeatureView

JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
UNITS_S = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
OF_EVERY_AGGREGATION = frozenset(part.name for part in dataclasses.fields(Aggregation))


class FeatureSpec(TypedDict):
    """Feature: an aggregation of one field of a source's events, of those that pass the filter."""

    name: str
    view: str
    source: str
    aggregation: str
    parameters: dict[str, Any]  # the aggregation's own: the gap of sessions, the share of a quantile
    field: str | None
    kind: str | None  # of the field: integer, scaled (integers of 10**-places units), float, text, boolean
    places: int
    filter: dict[str, list[str | float | bool]]  # field: the values it may have
    window_s: int | None  # None: lifetime
    step_s: int  # the resolution; the name is promised within /v1
    type: str  # of the value: integer, number, string, boolean, list
    items: str | None  # type of a list's items
    nullable: bool  # null although something is known: no default. A withheld feature is null in any case
    unit: str | None  # UCUM or ISO 4217: "s", "EUR"; "1" of a number without one; None of what is no number
    default: Any
    error: str  # how far off a value may be; empty when exact


class ViewSpec(TypedDict):
    """View: features of one source, with state of their own."""

    name: str
    description: str
    owner: str
    source: str
    topic: str
    type: str
    purposes: list[str]
    max_age_s: int
    version: int
    fingerprint: int
    features: list[FeatureSpec]


class ServiceSpec(TypedDict):
    """Service: the views for one kind of conversation, and the purpose that its callers name as a rule."""

    name: str
    description: str
    owner: str
    purpose: str
    views: list[ViewSpec]
    features_schema: dict[str, Any]  # JSON Schema of the ``features`` of an answer


def feature_spec(view: FeatureView, feature: Feature) -> dict[str, Any]:
    """A feature as a FeatureSpec."""
    aggregation = view.aggregations[feature.aggregation_index].aggregation
    type_ = view.type_of(feature)
    return {
        "name": feature.name,
        "view": view.name,
        "source": view.source.name,
        "aggregation": type(aggregation).__name__,
        "parameters": _parameters(aggregation),
        "field": aggregation.field,
        "kind": aggregation.kind,
        "places": aggregation.places,
        "filter": {name: _listed(wanted) for name, wanted in sorted(aggregation.where.items())},
        "window_s": feature.window_s,
        "step_s": feature.resolution_s,
        "type": type_.type,
        "items": type_.items,
        "nullable": feature.default is None,
        "unit": type_.unit,
        "default": feature.default,
        "error": aggregation.error,
    }


def view_spec(view: FeatureView) -> dict[str, Any]:
    """A view as a ViewSpec."""
    return {
        "name": view.name,
        "description": view.description,
        "owner": view.owner,
        "source": view.source.name,
        "topic": view.source.topic,
        "type": view.source.type,
        "purposes": sorted(view.purposes),
        "max_age_s": view.max_age_s,
        "version": view.version,
        "fingerprint": view.fingerprint,
        "features": [feature_spec(view, feature) for feature in view.features],
    }


def service_spec(service: FeatureService) -> dict[str, Any]:
    """A service as a ServiceSpec."""
    return {
        "name": service.name,
        "description": service.description,
        "owner": service.owner,
        "purpose": service.purpose,
        "views": [view_spec(view) for view in service.views],
        "features_schema": features_schema(service),
    }


def features_schema(service: FeatureService) -> dict[str, Any]:
    """The JSON Schema (2020-12) of an answer's ``features``. None is required, since a request may choose some."""
    return {
        "$schema": JSON_SCHEMA,
        "title": f"{service.name}_features",
        "type": "object",
        "properties": {feature.name: value_schema(view, feature) for view, feature in service.features},
    }


def value_schema(view: FeatureView, feature: Feature) -> dict[str, Any]:
    """The JSON Schema of one feature's value, null where nothing may be known; its unit as ``x-unit``."""
    found = view.type_of(feature)
    json_type = "array" if found.type == "list" else found.type
    schema: dict[str, Any] = {
        "type": [json_type, "null"],
        "description": sentence(view, feature),
        "default": feature.default,
    }
    if found.items:
        schema["items"] = {"type": found.items}
    return schema | ({"x-unit": found.unit} if found.unit else {})


def sentence(view: FeatureView, feature: Feature) -> str:
    """A feature as a phrase.

    >>> from featurestore.catalog import registry
    >>> cart = registry.views["cart"]
    >>> sentence(cart, next(feature for feature in cart.features if feature.name == "cart_intent"))
    'DecayedCount half_life=1h where kind is add_to_cart over 1 d'
    """
    spec = feature_spec(view, feature)
    parts = [spec["aggregation"], *(f"{name}={value}" for name, value in spec["parameters"].items())]
    if spec["field"]:
        parts += ["of", spec["field"]]
    if spec["filter"]:
        parts += ["where", " and ".join(f"{name} is {' or '.join(map(str, v))}" for name, v in spec["filter"].items())]
    return " ".join([*parts, "over", duration(feature.window_s)])


def duration(window_s: int | None) -> str:
    """A window in its largest whole unit.

    >>> duration(86_400), duration(5400), duration(None)
    ('1 d', '90 min', 'a lifetime')
    """
    if window_s is None:
        return "a lifetime"
    return next(f"{window_s // unit_s} {unit}" for unit, unit_s in UNITS_S.items() if window_s % unit_s == 0)


def value_type_text(view: FeatureView, feature: Feature) -> str:
    """The type of a feature's value as a phrase.

    >>> from featurestore.catalog import registry
    >>> chat = registry.views["mood"]
    >>> value_type_text(chat, chat.features[0]), value_type_text(chat, chat.features[1])
    ('a list of numbers', 'a number or null')
    """
    found = view.type_of(feature)
    text = f"a{'n' if found.type == 'integer' else ''} {found.type}"
    text += f" of {found.items}s" if found.items else ""
    text += f" in {found.unit}" if found.unit not in (None, DIMENSIONLESS) else ""
    return text + (" or null" if feature.default is None else "")


def _parameters(aggregation: Aggregation) -> dict[str, Any]:
    own = (part.name for part in dataclasses.fields(aggregation) if part.name not in OF_EVERY_AGGREGATION)
    return {name: getattr(aggregation, name) for name in own}


def _listed(wanted: Any) -> list[Any]:
    return sorted(wanted, key=repr) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
