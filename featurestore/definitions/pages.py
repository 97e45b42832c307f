"""Definitions as text for a terminal. Pure."""

from collections.abc import Iterator

from featurestore.definitions.description import feature_spec, sentence, value_type_text
from featurestore.definitions.registry import Registry
from featurestore.definitions.service import FeatureService
from featurestore.definitions.view import Feature, FeatureView


def registry_page(registry: Registry) -> Iterator[str]:
    """Every service, then every view with its features."""
    for service in registry.services.values():
        yield f"{service.name}: {', '.join(view.name for view in service.views)}"
    for view in registry.views.values():
        yield ""
        yield from view_page(view)


def service_page(service: FeatureService) -> Iterator[str]:
    """One service and its views."""
    yield f"{service.name}, for {service.purpose}, by {service.owner or 'nobody'}: {service.description}"
    for view in service.views:
        yield ""
        yield from view_page(view)


def view_page(view: FeatureView) -> Iterator[str]:
    """One view and its features, each in a line."""
    yield f"{view.name}: {view.description}"
    yield f"  from {view.source.name}, for {', '.join(sorted(view.purposes))}, by {view.owner or 'nobody'}"
    yield f"  {view.defined_at}"
    width = max(len(feature.name) for feature in view.features)
    for feature in view.features:
        yield f"    {feature.name:<{width}}  {sentence(view, feature)}"


def feature_page(view: FeatureView, feature: Feature) -> Iterator[str]:
    """One feature: its definition, its value without events, its error, the line of its definition."""
    spec = feature_spec(view, feature)
    yield f"{feature.name}: {sentence(view, feature)}"
    yield f"  from {view.source.name}, for {', '.join(sorted(view.purposes))}, in view {view.name}"
    yield f"  {value_type_text(view, feature)}; without events: {feature.default!r}; error: {spec['error'] or 'none'}"
    yield f"  tiles of {feature.resolution_s} s" if feature.window_s else "  one tile"
    yield f"  {feature.defined_at}"
