"""Definitions as JSON, for `features show` and GET /v1/services: enough to compute a value again from raw events. Pure.

A value at q covers the events with ``floor(q - window_s, step_s) <= time``, floored to whole steps since 1970, of those
that have the field and that the filter lets through.
"""

import dataclasses
from typing import Any, TypedDict

from featurestore.aggregations.base import Aggregation
from featurestore.definitions.service import FeatureService
from featurestore.definitions.view import Feature, FeatureView

OF_EVERY_AGGREGATION = frozenset(part.name for part in dataclasses.fields(Aggregation))


class FeatureSpec(TypedDict):
    """One feature: an aggregation of one field of a source's events, of those that the filter lets through."""

    name: str
    view: str
    source: str
    aggregation: str
    parameters: dict[str, Any]  # the aggregation's own: the gap of sessions, the share of a quantile
    field: str | None
    kind: str | None  # of the field: integer, scaled (integers of 10**-places units), float, text, boolean
    places: int
    filter: dict[str, list[Any]]  # field: the values it may have
    window_s: int | None  # None: lifetime
    step_s: int
    default: Any
    error: str  # how far off a value may be; empty when exact


class ViewSpec(TypedDict):
    """The features of one source, kept together."""

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
    """One kind of conversation: its views, and the purpose that is named as a rule."""

    name: str
    description: str
    owner: str
    purpose: str
    views: list[ViewSpec]


def feature_spec(view: FeatureView, feature: Feature) -> dict[str, Any]:
    """One feature, as FeatureSpec says."""
    aggregation = view.columns[feature.column].aggregation
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
        "step_s": feature.step_s,
        "default": feature.default,
        "error": aggregation.error,
    }


def view_spec(view: FeatureView) -> dict[str, Any]:
    """One view with its features, as ViewSpec says."""
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
    """One service with its views, as ServiceSpec says."""
    return {
        "name": service.name,
        "description": service.description,
        "owner": service.owner,
        "purpose": service.purpose,
        "views": [view_spec(view) for view in service.views],
    }


def _parameters(aggregation: Aggregation) -> dict[str, Any]:
    own = (part.name for part in dataclasses.fields(aggregation) if part.name not in OF_EVERY_AGGREGATION)
    return {name: getattr(aggregation, name) for name in own}


def _listed(wanted: Any) -> list[Any]:
    return sorted(wanted, key=repr) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
