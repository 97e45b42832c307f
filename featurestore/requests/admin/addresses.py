"""Addresses of requests' pages, and requests that the address of another page names."""

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from featurestore.requests import selectors
from featurestore.requests.errors import UnknownRequest
from featurestore.requests.models import SubjectRequest

REFERENCE = "reference"
"""Parameter of an address."""


def page_of_request(request: SubjectRequest) -> str:
    """The address of a request's page."""
    return reverse("admin:requests_subjectrequest_change", args=[request.pk])


def link_to_request(request: SubjectRequest) -> str:
    """A link to a request's page."""
    return format_html('<a class="rp-link" href="{}">{}</a>', page_of_request(request), request.reference)


def named(address: str, request: SubjectRequest) -> str:
    """The address of a page, opened for a request."""
    return f"{address}?{urlencode({REFERENCE: request.reference})}"


def request_of_address(request: HttpRequest) -> SubjectRequest | None:
    """The request that a page's address names, if there is one and the user may view requests."""
    reference = request.GET.get(REFERENCE, "").strip().upper()
    if not reference or not request.user.has_perm("requests.view_subjectrequest"):
        return None
    try:
        return selectors.request_named(reference)
    except UnknownRequest:
        return None


def facts_of_start(http: HttpRequest, request: SubjectRequest) -> list[tuple[str, str]]:
    """What a page that starts something for a request states about it."""
    facts = [("Request", f"{request.reference}, {request.get_type_display().lower()}")]
    if http.user.has_perm("customers.view_customer"):
        facts.append(("Customer", request.customer_id or "unknown"))
    return facts
