"""Prometheus metrics of the API. Labels hold names from our definitions, never a caller's text."""

from collections.abc import Iterable, Mapping
from functools import cache

from prometheus_client import Counter, Histogram

from featurestore.serving.answer import Answer

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

REQUESTS = Counter("rapport_api_requests", "Requests answered.", ["route", "status"])
SECONDS = Histogram("rapport_api_seconds", "Seconds from a request to its answer.", ["route"], buckets=BUCKETS_S)
VIEWS = Counter("rapport_api_views", "Views answered, by status.", ["service", "purpose", "status"])

EVENTS = Counter("rapport_api_events", "Events written through the API, by what became of them.", ["status"])

# Cached: ``labels`` costs a lock and a look-up. There are few combinations of labels.
_requests, _seconds, _views = cache(REQUESTS.labels), cache(SECONDS.labels), cache(VIEWS.labels)


def count_request(route: str, status: int, seconds: float) -> None:
    """Count an answered request."""
    _requests(route, status).inc()
    _seconds(route).observe(seconds)


def count_views(service: str, purpose: str, answers: Iterable[Answer]) -> None:
    """Count the views of a read by status."""
    counts: dict[str, int] = {}
    for answer in answers:
        for view in answer.views.values():
            counts[view.status] = counts.get(view.status, 0) + 1
    for status, count in counts.items():
        _views(service, purpose, status).inc(count)


def count_events(by_status: Mapping[str, int]) -> None:
    """Count the events of a write by status."""
    for status, count in by_status.items():
        EVENTS.labels(status).inc(count)
