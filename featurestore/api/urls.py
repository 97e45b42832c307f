"""Addresses of the API: /v1 with its documentation, tokens, and the health pages."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path, re_path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI, Swagger
from ninja.openapi.schema import OpenAPISchema

from featurestore.api import consents, customers, documents, events, features, health, services, tokens
from featurestore.api.django_adapter import respond_to
from featurestore.api.errors import Malformed, MethodNotAllowed, NotFound
from featurestore.api.reply import Call, Reply
from featurestore.api.sse import operation

View = Callable[..., HttpResponse]


class Api(NinjaAPI):
    """django-ninja as the place where routes and their documentation are mounted."""

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**kwargs)
        schema["components"] = documents.components()
        return schema


def not_found(call: Call) -> Reply:
    raise NotFound("GET /v1/openapi.json lists what there is.")


@csrf_exempt
def nothing_here(request: HttpRequest) -> HttpResponse:
    """Whatever else is asked for below /v1."""
    return respond_to(request, not_found, "unknown")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django refuses before any route: a Host header that names none of the allowed hosts."""

    def refuse(call: Call) -> Reply:
        raise Malformed("The Host header names no host of this installation.")

    return respond_to(request, refuse, "unknown")


def in_one_shape(view: View) -> View:
    """A view whose refusal of a method is a problem document like every other."""

    @csrf_exempt
    @wraps(view)
    def shaped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        allowed = response.headers["Allow"]

        def not_allowed(call: Call) -> Reply:
            raise MethodNotAllowed(f"Use {allowed}.", {"Allow": allowed})

        return respond_to(request, not_allowed, "unknown")

    return shaped


def patterns_of(api: Api) -> list[URLPattern]:
    """The API's addresses, each in the one shape."""
    patterns = [p for p in api.urls[0] if isinstance(p, URLPattern)]
    for pattern in patterns:
        pattern.callback = in_one_shape(pattern.callback)
    return patterns


api = Api(
    title="Rapport",
    version="1.0.0",
    description=documents.ABOUT,
    docs=Swagger(settings={"docExpansion": "list", "persistAuthorization": False}),
    urls_namespace="v1",
)
api.add_router("/features", features.router)
api.add_router("/features/stream", operation.router)
api.add_router("/services", services.router)
api.add_router("/consents", consents.router)
api.add_router("/customers", customers.router)
if events.WRITABLE:
    api.add_router("/events", events.router)

v1 = patterns_of(api), *api.urls[1:]

urlpatterns = [
    re_path(r"^v1/?$", nothing_here),  # ninja shows a page there
    path("v1/", v1),
    re_path(r"^v1/", nothing_here),
    path("oauth/token", in_one_shape(tokens.token)),
    path("oauth/revoke", in_one_shape(tokens.revocation)),
]
health_pages = [
    path("healthz", in_one_shape(health.healthz)),
    path("readyz", in_one_shape(health.readyz)),
    path("metrics", in_one_shape(health.metrics)),
]
