"""Definitions as text for a terminal. Pure."""

from collections.abc import Iterator

from featurestore.definitions.description import feature_spec
from featurestore.definitions.registry import Registry
from featurestore.definitions.service import FeatureService
from featurestore.definitions.view import Feature, FeatureView

UNITS_S = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}


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
    yield f"  {view.place}"
    width = max(len(feature.name) for feature in view.features)
    for feature in view.features:
        yield f"    {feature.name:<{width}}  {sentence(view, feature)}"


def feature_page(view: FeatureView, feature: Feature) -> Iterator[str]:
    """One feature: what it is, what it answers without events, how exact it is, where it is written."""
    spec = feature_spec(view, feature)
    yield f"{feature.name}: {sentence(view, feature)}"
    yield f"  from {view.source.name}, for {', '.join(sorted(view.purposes))}, in view {view.name}"
    yield f"  without events: {feature.default!r}; error: {spec['error'] or 'none'}"
    yield f"  tiles of {feature.step_s} s" if feature.window_s else "  one tile"
    yield f"  {feature.place}"


def sentence(view: FeatureView, feature: Feature) -> str:
    """One feature in words.

    >>> from featurestore.catalog import registry
    >>> cart = registry.views["cart"]
    >>> sentence(cart, next(feature for feature in cart.features if feature.name == "cart_intent"))
    'DecayedCount half_life=1h where kind is add_to_cart over 1 d'
    """
    spec = feature_spec(view, feature)
    words = [spec["aggregation"], *(f"{name}={value}" for name, value in spec["parameters"].items())]
    if spec["field"]:
        words += ["of", spec["field"]]
    if spec["filter"]:
        words += ["where", " and ".join(f"{name} is {' or '.join(map(str, v))}" for name, v in spec["filter"].items())]
    return " ".join([*words, "over", duration(feature.window_s)])


def duration(window_s: int | None) -> str:
    """A window in its largest whole unit.

    >>> duration(86_400), duration(5400), duration(None)
    ('1 d', '90 min', 'a lifetime')
    """
    if window_s is None:
        return "a lifetime"
    return next(f"{window_s // unit_s} {unit}" for unit, unit_s in UNITS_S.items() if window_s % unit_s == 0)
