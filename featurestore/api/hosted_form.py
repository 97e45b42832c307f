"""The customers' form: /requests/form and /requests/code, by signed links, without an account and without JavaScript.

The answer is the same, by the same steps, whether the customer exists or not. There is no session and no cookie, so
nothing that a foreign page could use: whoever sends the form has the link. Each address may send REQUESTS_PER_WINDOW in
ten seconds, and all together FORMS_PER_WINDOW, counted before anything else is done.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.formats import date_format
from django.views.decorators.http import require_http_methods

from featurestore.access.addresses import address_of
from featurestore.access.rate_limiter import rate_limiter
from featurestore.api.body import LARGEST_BODY_BYTES
from featurestore.api.django_adapter import respond_to
from featurestore.api.errors import TooLarge
from featurestore.api.reply import Call, Reply
from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent.services import request_key
from featurestore.identity import IdentifierError, check_identifier
from featurestore.requests import services
from featurestore.requests.actors import CUSTOMER
from featurestore.requests.errors import WrongCode
from featurestore.requests.form_links import CodeLink, FormLink, InvalidLink, code_url, read_code_link, read_form_link
from featurestore.requests.form_texts import TEXTS
from featurestore.requests.models import Language, RequestType, SubjectRequest
from featurestore.requests.services import Intake
from featurestore.requests.services.intake import MAX_DETAILS_LENGTH
from featurestore.requests.services.verification import LAPSE_AFTER

REQUESTS_PER_WINDOW = 20
FORMS_PER_WINDOW = 500
"""Requests that all addresses together may record: a flood from many costs no more."""
MAX_FIELDS = 10
HTML = "text/html; charset=utf-8"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "Referrer-Policy": "no-referrer",  # the address is the permission
    "X-Frame-Options": "DENY",
}
Handle = Callable[[Call], Reply]


@require_http_methods(["GET", "POST"])
def form(request: HttpRequest, token: str) -> HttpResponse:
    """The form: shown, or a request recorded."""
    return _respond(request, partial(answer_form, token=token, posted=request.method == "POST"), "requests/form")


@require_http_methods(["GET", "POST"])
def code(request: HttpRequest, token: str) -> HttpResponse:
    """The page for a code: shown, or a code confirmed, or another one asked for."""
    return _respond(request, partial(answer_code, token=token, posted=request.method == "POST"), "requests/code")


def _respond(request: HttpRequest, handle: Handle, route: str) -> HttpResponse:
    address = address_of(request.META, settings().proxies)

    def limited(call: Call) -> Reply:
        result = rate_limiter().acquire(f"address:{address}", REQUESTS_PER_WINDOW, 1, call.now_ms)
        if result.admitted and request.method == "POST":
            result = rate_limiter().acquire("forms", FORMS_PER_WINDOW, 1, call.now_ms)
        if not result.admitted:
            texts = TEXTS[Language.ENGLISH]
            shown = {"title": texts.too_often, "lines": texts.too_often_lines}
            return _page("layout", Language.ENGLISH, shown, HTTPStatus.TOO_MANY_REQUESTS, result.reset_s)
        return handle(call)

    return respond_to(request, limited, route)


def answer_form(call: Call, token: str, posted: bool) -> Reply:
    """The form of a link, or what became of what was entered."""
    now = database_now()
    try:
        link = read_form_link(token, now)
    except InvalidLink:
        return _invalid()
    if not posted:
        return _form(link, {}, "")
    entered = _fields(call.body)
    texts = TEXTS[link.language]
    customer_id = link.customer_id or entered.get("customer_id", "").strip()
    if entered.get("type") not in RequestType.values:
        return _form(link, entered, texts.choose)
    try:
        check_identifier(customer_id)
    except IdentifierError:
        return _form(link, entered, texts.check)
    content = "\0".join(link).encode() + b"\0" + call.body
    key = request_key("form", entered.get("key", "")[:64], content, settings().subject_secret.encode())
    intake = Intake(
        entered["type"],
        link.regime,
        SubjectRequest.Channel.FORM,
        customer_id,
        details=entered.get("details", "").replace("\0", "")[:MAX_DETAILS_LENGTH],
        language=link.language,
        attested=bool(link.customer_id),
        key=key._replace(key=key.digest),  # the same form, sent twice, is one request
    )
    call.log_fields |= {"type": intake.type, "regime": link.regime, "attested": intake.attested}
    found = services.receive(intake, CUSTOMER, now).request
    if intake.attested:
        return _received(found)
    location = code_url(CodeLink(found.reference, link.language), now + LAPSE_AFTER, now)
    path = "/requests/code/" + location.rpartition("/")[2]
    return Reply(HTTPStatus.SEE_OTHER, b"", HTML, {**HEADERS, "Location": path})


def answer_code(call: Call, token: str, posted: bool) -> Reply:
    """The page for the code of a request, or what became of the code that was entered."""
    try:
        link = read_code_link(token, database_now())
    except InvalidLink:
        return _invalid()
    entered = _fields(call.body) if posted else {}
    texts = TEXTS[link.language]
    if entered.get("action") == "again":
        services.ask_for_code(link.reference)
        return _code(link, told=texts.sent_again)
    if not posted:
        return _code(link)
    try:
        found = services.confirm_code(link.reference, entered.get("code", "")[:20])
    except WrongCode:
        return _code(link, error=texts.wrong_code)
    return _received(found, texts.verified)


def _received(request: SubjectRequest, title: str = "") -> Reply:
    texts = TEXTS[request.language]
    with translation.override(request.language):
        day = date_format(request.regime.calendar().day_of(request.due_at - timedelta.resolution), "DATE_FORMAT")
    lines = [texts.reference.format(request.reference), texts.answer_by.format(day)]
    return _page("layout", request.language, {"title": title or texts.received, "lines": lines})


def _form(link: FormLink, entered: Mapping[str, str], error: str) -> Reply:
    texts = TEXTS[link.language]
    shown = {
        "title": texts.title,
        "types": texts.types.items(),
        "asks_customer": not link.customer_id,
        "entered": entered,
        "error": error,
        "key": secrets.token_urlsafe(16),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if error else HTTPStatus.OK
    return _page("request", link.language, shown, status)


def _code(link: CodeLink, error: str = "", told: str = "") -> Reply:
    texts = TEXTS[link.language]
    lead = told or f"{texts.received}. {texts.reference.format(link.reference)}"
    shown = {"title": texts.code_title, "error": error, "told": "" if error else lead}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if error else HTTPStatus.OK
    return _page("code", link.language, shown, status)


def _invalid() -> Reply:
    texts = TEXTS[Language.ENGLISH]
    shown = {"title": texts.invalid, "lines": texts.invalid_lines}
    return _page("layout", Language.ENGLISH, shown, HTTPStatus.NOT_FOUND)


def _page(
    template: str, language: str, shown: Mapping[str, Any], status: int = HTTPStatus.OK, retry_s: int = 0
) -> Reply:
    common = {"language": language, "texts": TEXTS[language], "organisation": settings().organisation}
    body = render_to_string(f"requests/form/{template}.html", {**common, **shown})
    headers = {**HEADERS, **({"Retry-After": str(retry_s)} if retry_s else {})}
    return Reply(status, body.encode(), HTML, headers)


def _fields(body: bytes) -> dict[str, str]:
    """The first value of each field of a form. Raises TooLarge."""
    if len(body) > LARGEST_BODY_BYTES:
        raise TooLarge(f"A body has at most {LARGEST_BODY_BYTES} bytes.")
    try:
        found = parse_qs(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:  # more fields than the form has
        return {}
    return {name: values[0] for name, values in found.items()}
