"""Download page of a package, for the customer: public, without a login or a cookie.

Opening the page is answered alike for every link, so that it tells nothing and a mail program that opens links takes no
try. The button takes one; whatever is wrong with a link is answered alike, too. Each address may send
REQUESTS_PER_WINDOW in ten seconds, and of each link whose signature is right DOWNLOADS_PER_WINDOW may be asked for, by
all addresses together; both are counted before the database is asked.
"""

import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import BinaryIO

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from featurestore.access.addresses import address_of
from featurestore.access.rate_limiter import RateLimitResult, rate_limiter
from featurestore.config import settings
from featurestore.requests.export.errors import ExportNotPossible, LinkRefused
from featurestore.requests.export.link import digest_of
from featurestore.requests.export.services import delivered, take_try

REQUESTS_PER_WINDOW = 20
"""Of an address, together with those that the customers' form counts."""
DOWNLOADS_PER_WINDOW = 5
CHUNK = 65_536
PAGE = "exports/download.html"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
log = structlog.get_logger(__name__)


@csrf_exempt  # the link is the only secret: no cookie of the browser adds a right
@require_http_methods(["GET", "HEAD", "POST"])
def download(request: HttpRequest, link: str) -> HttpResponseBase:
    """The page with the button, and the package."""
    limit = _acquired(f"address:{address_of(request.META, settings().proxies)}", REQUESTS_PER_WINDOW)
    if not limit.admitted:
        return _too_often(limit)
    if request.method != "POST":
        return HttpResponse(render_to_string(PAGE), headers=HEADERS)
    try:
        limit = _acquired(f"export:{digest_of(link)}", DOWNLOADS_PER_WINDOW)
        if not limit.admitted:
            return _too_often(limit)
        export, file = take_try(link)
    except LinkRefused:
        return HttpResponse(render_to_string(PAGE, {"refused": True}), status=HTTPStatus.NOT_FOUND, headers=HEADERS)
    return StreamingHttpResponse(
        _package(file, export.pk),
        content_type="application/zip",
        headers=HEADERS
        | {
            "Content-Disposition": f'attachment; filename="{export.request.reference}.zip"',
            "Content-Length": str(export.package_bytes),
        },
    )


def _acquired(key: str, quota: int) -> RateLimitResult:
    return rate_limiter().acquire(key, quota, 1, now_ms())


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _too_often(limit: RateLimitResult) -> HttpResponse:
    page = render_to_string(PAGE, {"too_often": True, "seconds": limit.reset_s})
    headers = HEADERS | {"Retry-After": str(limit.reset_s)}
    return HttpResponse(page, status=HTTPStatus.TOO_MANY_REQUESTS, headers=headers)


def _package(file: BinaryIO, export_pk: int) -> Iterator[bytes]:
    """The bytes of a package; after the last one it is recorded as downloaded."""
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
    try:
        delivered(export_pk)
    except ExportNotPossible as error:
        log.info("download not recorded", export=export_pk, reason=str(error))
