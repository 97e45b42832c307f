"""The public page that verifies documents: /verify, and the keys by which it does at /verify/keys.

Without an account, a cookie or JavaScript. Nothing of a document is kept or logged. Each address may send
REQUESTS_PER_WINDOW in ten seconds, and all together VERIFICATIONS_PER_WINDOW.
"""

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import get_language_from_request
from django.views.decorators.http import require_http_methods

from featurestore.access.addresses import address_of
from featurestore.access.rate_limiter import rate_limiter
from featurestore.api.body import LARGEST_BODY_BYTES
from featurestore.api.django_adapter import respond_to
from featurestore.api.errors import TooLarge, TooOften
from featurestore.api.reply import Call, Reply
from featurestore.api.verification_texts import TEXTS
from featurestore.auditlog.document_proofs import LoggedDocument, published_keys, verify_logged
from featurestore.auditlog.document_verifier import DocumentRefused
from featurestore.auditlog.log_verifier import Unreadable
from featurestore.config import settings
from featurestore.requests.models import Language

REQUESTS_PER_WINDOW = 20
VERIFICATIONS_PER_WINDOW = 500
MAX_FIELDS = 5
HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """The page: shown, or what became of the document that was pasted."""
    language, posted = _language(request), request.method == "POST"
    address = address_of(request.META, settings().proxies)

    def answer(call: Call) -> Reply:
        result = rate_limiter().acquire(f"address:{address}", REQUESTS_PER_WINDOW, 1, call.now_ms)
        if result.admitted and posted:
            result = rate_limiter().acquire("verifications", VERIFICATIONS_PER_WINDOW, 1, call.now_ms)
        if not result.admitted:
            shown = {"error": TEXTS[language].too_often}
            return _page(language, shown, HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(result.reset_s)})
        return _verified(language, _document(call.body)) if posted else _page(language, {})

    return respond_to(request, answer, "verify")


@require_http_methods(["GET"])
def keys(request: HttpRequest) -> HttpResponse:
    """The keys of the audit log, one a line, in the order of their introduction: what ``--trust`` takes."""
    address = address_of(request.META, settings().proxies)

    def answer(call: Call) -> Reply:
        if not rate_limiter().acquire(f"address:{address}", REQUESTS_PER_WINDOW, 1, call.now_ms).admitted:
            raise TooOften
        return Reply(HTTPStatus.OK, "".join(f"{key}\n" for key, _ in published_keys()).encode(), TEXT, HEADERS)

    return respond_to(request, answer, "verify/keys")


def _verified(language: str, text: str) -> Reply:
    texts = TEXTS[language]
    try:
        found = verify_logged(text)
    except DocumentRefused as error:
        return _page(language, {"error": texts.refused, "detail": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
    except Unreadable as error:
        return _page(language, {"error": texts.unreadable, "detail": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
    document = json.dumps(found.verified.document, indent=2, ensure_ascii=False)
    return _page(language, {"told": texts.holds, "lines": _lines(language, found), "document": document})


def _lines(language: str, found: LoggedDocument) -> list[str]:
    texts, verified = TEXTS[language], found.verified
    facts = {
        "kind": texts.kinds.get(verified.kind, texts.other_kind),
        "issued": _time(verified.issued_at_ms),
        "entry": verified.entry,
        "signed": _time(verified.head.at_ms),
        "key": verified.key,
        "since": f"{found.key_since:%Y-%m-%d}",
    }
    return [line.format(**facts) for line in texts.holds_lines]


def _page(
    language: str, shown: dict[str, Any], status: int = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Reply:
    texts = TEXTS[language]
    common = {
        "language": language,
        "languages": [one for one in Language.choices if one[0] != language],
        "texts": texts,
        "title": texts.title,
        "organisation": settings().organisation,
    }
    body = render_to_string("requests/form/document.html", {**common, **shown})
    return Reply(status, body.encode(), HTML, {**HEADERS, **(headers or {})})


def _language(request: HttpRequest) -> str:
    """The language that the address names, else the browser's, else English."""
    asked = request.GET.get("language") or get_language_from_request(request)[:2]
    return asked if asked in TEXTS else Language.ENGLISH


def _document(body: bytes) -> str:
    """The document that a form sends. Raises TooLarge."""
    if len(body) > LARGEST_BODY_BYTES:
        raise TooLarge(f"A body has at most {LARGEST_BODY_BYTES} bytes.")
    try:
        found = parse_qs(body.decode(errors="replace"), max_num_fields=MAX_FIELDS)
    except ValueError:  # more fields than the form has
        return ""
    return found.get("document", [""])[0].strip()


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
