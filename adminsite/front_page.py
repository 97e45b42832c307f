"""Front page: what a process at this address is, and where to go. Public: it names no version and no customer."""

from functools import cache

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from featurestore.config import settings

POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@require_safe
def front_page(request: HttpRequest) -> HttpResponse:
    """The page, the same for everybody."""
    return HttpResponse(rendered(), headers={"Content-Security-Policy": POLICY, "Cache-Control": "max-age=300"})


@cache
def rendered() -> str:
    """The page's text, rendered once: it depends on settings only."""
    conf = settings()
    parts = {"serves_api": conf.serves_api, "serves_admin": conf.serves_admin}
    return render_to_string("rapport/front_page.html", parts)
