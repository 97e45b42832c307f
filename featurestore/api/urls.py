"""URL patterns of the API: /v1 with its documentation, tokens, the customers' form, and the health pages."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path, re_path
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI, Swagger
from ninja.openapi.schema import OpenAPISchema

from featurestore.api import (
    consents,
    consents_as_of,
    customers,
    documents,
    events,
    features,
    health,
    hosted_form,
    requests,
    services,
    tokens,
    verification,
)
from featurestore.api.django_adapter import respond_to
from featurestore.api.errors import Malformed, MethodNotAllowed, NotFound
from featurestore.api.reply import Call, Reply
from featurestore.api.sse import operation

View = Callable[..., HttpResponse]
DESCRIPTION_S = 300
"""Seconds for which others may keep the API's description: it changes with the version alone."""


class Api(NinjaAPI):
    """The django-ninja API: routes and their documentation."""

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**kwargs)
        schema["components"] = documents.components()
        return schema


def not_found(call: Call) -> Reply:
    raise NotFound("GET /v1/openapi.json lists the addresses. None of them ends with a slash.")


@csrf_exempt
def unknown_address(request: HttpRequest) -> HttpResponse:
    """404 for every other address below /v1."""
    return respond_to(request, not_found, "unknown")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 for an address that no route has. Staff read Django's page, all others a problem document."""
    if request.path_info.startswith("/admin/"):
        return defaults.page_not_found(request, exception)
    return unknown_address(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 for a Host header that names none of the allowed hosts: Django refuses it before any route."""

    def refuse(call: Call) -> Reply:
        raise Malformed("The Host header names no host of this installation.")

    return respond_to(request, refuse, "unknown")


def with_problems(view: View) -> View:
    """A view that refuses a method with a problem document, and needs no CSRF token.

    HEAD is answered where GET is (RFC 9110, 9.1): with its headers alone.
    """

    @csrf_exempt
    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        head = request.method == "HEAD"
        response = view(request, *args, **kwargs)
        if head and isinstance(response, HttpResponseNotAllowed) and "GET" in response.headers["Allow"]:
            request.method = "GET"
            response = view(request, *args, **kwargs)
        if not isinstance(response, HttpResponseNotAllowed):
            return without_body(response) if head else response
        allowed = with_head(response.headers["Allow"])

        def not_allowed(call: Call) -> Reply:
            raise MethodNotAllowed(f"Use {allowed}.", {"Allow": allowed})

        return respond_to(request, not_allowed, "unknown")

    return wrapped


def with_head(allowed: str) -> str:
    """The methods of an Allow header, with HEAD where GET is one.

    >>> with_head("GET, POST")
    'GET, HEAD, POST'
    """
    methods = allowed.split(", ")
    return ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))


def without_body(response: HttpResponse) -> HttpResponse:
    """The answer to HEAD: the headers of GET's, with the length of its body."""
    response.headers.setdefault("Content-Length", str(len(response.content)))
    response.content = b""
    return response


DESCRIPTIONS = ("openapi-json", "openapi-view")
"""Names of the patterns of the API's description: the document, and its page."""


def made_once(view: View) -> View:
    """A view that is called once in a process: what describes the API is the same for everybody."""

    @cache
    def made() -> tuple[bytes, str]:
        response = view(HttpRequest())
        return response.content, response.headers["Content-Type"]

    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        content, type_ = made()
        return HttpResponse(content, content_type=type_, headers={"Cache-Control": f"max-age={DESCRIPTION_S}"})

    return answer


def patterns_of(api: Api) -> list[URLPattern]:
    """URL patterns of the API's routes."""
    patterns = [p for p in api.urls[0] if isinstance(p, URLPattern)]
    for pattern in patterns:
        view = pattern.callback
        pattern.callback = with_problems(made_once(view) if pattern.name in DESCRIPTIONS else view)
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
api.add_router("/consents", consents_as_of.router)
api.add_router("/customers", customers.router)
api.add_router("/requests", requests.router)
if events.WRITABLE:
    api.add_router("/events", events.router)

v1 = patterns_of(api), *api.urls[1:]

urlpatterns = [
    re_path(r"^v1/?$", unknown_address),  # instead of ninja's page
    path("v1/", v1),
    re_path(r"^v1/", unknown_address),
    path("requests/form/<str:token>", with_problems(hosted_form.form)),
    path("requests/code/<str:token>", with_problems(hosted_form.code)),
    path("verify", with_problems(verification.page)),
    path("verify/keys", with_problems(verification.keys)),
    re_path(r"^oauth/token/?$", with_problems(tokens.token)),  # with the slash, too: a POST can't be redirected
    re_path(r"^oauth/revoke/?$", with_problems(tokens.revocation)),
]
health_pages = [
    path("healthz", with_problems(health.healthz)),
    path("readyz", with_problems(health.readyz)),
    path("metrics", with_problems(health.metrics)),
]
