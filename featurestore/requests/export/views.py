"""Download page of a package, for the customer: public, without a login or a cookie.

Opening the page is answered alike for every link, so that it tells nothing and a mail program that opens links takes no
try. The button takes one; whatever is wrong with a link is answered alike, too.
"""

from collections.abc import Iterator
from typing import BinaryIO

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from featurestore.requests.export.errors import ExportNotPossible, LinkRefused
from featurestore.requests.export.services import delivered, take_try

CHUNK = 65_536
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
    if request.method != "POST":
        return HttpResponse(render_to_string("exports/download.html"), headers=HEADERS)
    try:
        export, file = take_try(link)
    except LinkRefused:
        return HttpResponse(render_to_string("exports/download.html", {"refused": True}), status=404, headers=HEADERS)
    return StreamingHttpResponse(
        _package(file, export.pk),
        content_type="application/zip",
        headers=HEADERS
        | {
            "Content-Disposition": f'attachment; filename="{export.request.reference}.zip"',
            "Content-Length": str(export.package_bytes),
        },
    )


def _package(file: BinaryIO, export_pk: int) -> Iterator[bytes]:
    """The bytes of a package; after the last one it is recorded as downloaded."""
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
    try:
        delivered(export_pk)
    except ExportNotPossible as error:
        log.info("download not recorded", export=export_pk, reason=str(error))
