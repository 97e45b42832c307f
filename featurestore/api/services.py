"""GET /v1/services: what a key may ask for, told so that anyone can recompute a value."""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.api.auth import authenticate
from featurestore.api.documents import operation
from featurestore.api.door import enter
from featurestore.api.errors import Unauthorised, Unavailable
from featurestore.api.examples import NO_KEY, Example
from featurestore.api.reply import Call, Reply, encode
from featurestore.catalog import registry
from featurestore.definitions import Feature, FeatureService, FeatureView


class FeatureInfo(msgspec.Struct):
    """One feature: an aggregation of one field of a source's events, of those that the filter lets through."""

    name: str
    aggregation: str
    field: str | None
    kind: str | None  # of the field: integer, scaled (a decimal of `places` digits), float, text, boolean
    places: int
    where: dict[str, list[Any]]
    window_s: int | None  # null: lifetime
    step_s: int  # a window covers `floor(at - window_s, step_s) <= t`
    default: Any
    error: str  # how far off a value may be; empty when exact


class ViewInfo(msgspec.Struct):
    """The features of one source, kept together."""

    name: str
    description: str
    owner: str
    source: str
    version: int
    purposes: list[str]
    max_age_s: int
    features: list[FeatureInfo]


class ServiceInfo(msgspec.Struct):
    """One kind of conversation: its views, and the purpose that is named as a rule."""

    name: str
    description: str
    owner: str
    purpose: str
    views: list[ViewInfo]


class ServiceList(msgspec.Struct):
    """The services and purposes that the key is bound to."""

    purposes: list[str]
    services: list[ServiceInfo]


def describe(service: FeatureService) -> ServiceInfo:
    """One service, as the API tells it."""
    views = [_view(view) for view in service.views]
    return ServiceInfo(service.name, service.description, service.owner, service.purpose, views)


def _view(view: FeatureView) -> ViewInfo:
    features = [_feature(view, feature) for feature in view.features]
    purposes = sorted(view.purposes)
    return ViewInfo(
        view.name, view.description, view.owner, view.source.name, view.version, purposes, view.max_age_s, features
    )


def _feature(view: FeatureView, feature: Feature) -> FeatureInfo:
    aggregation = view.columns[feature.column].aggregation
    return FeatureInfo(
        feature.name,
        aggregation.name,
        aggregation.field,
        aggregation.kind,
        aggregation.places,
        _where(aggregation.where),
        feature.window_s,
        feature.step_s,
        feature.default,
        aggregation.error,
    )


def _where(where: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        field: sorted(wanted) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
        for field, wanted in where.items()
    }


DESCRIBED = {name: describe(service) for name, service in registry.services.items()}
SHOWN = min(DESCRIBED.values(), key=lambda service: sum(len(view.features) for view in service.views))
LISTED = Example(
    "listed",
    "A key bound to one service and one purpose",
    None,
    200,
    msgspec.to_builtins(ServiceList([SHOWN.purpose], [SHOWN])),
)
EXAMPLES = [LISTED, NO_KEY]

router = Router(tags=["services"])


@router.get(
    "",
    auth=None,
    summary="List the services that the key may use",
    openapi_extra=operation(EXAMPLES, {200: ServiceList}, [Unauthorised, Unavailable]),
)
def list_services(request: HttpRequest) -> HttpResponse:
    """Every service with its views and features, their windows and defaults."""
    return enter(request, services_of_caller, "services")


def services_of_caller(call: Call) -> Reply:
    """The services that the caller's key is bound to, in the catalog's order."""
    holder = authenticate(call)
    known = [service for name, service in DESCRIBED.items() if name in holder.services]
    return Reply(200, encode(ServiceList(sorted(holder.purposes), known)))
