"""Readers of subject requests."""

from datetime import datetime

from featurestore.requests.errors import UnknownRequest
from featurestore.requests.models import SubjectRequest


def request_named(reference: str) -> SubjectRequest:
    """The request with a reference. Raises UnknownRequest."""
    related = SubjectRequest.objects.select_related("regime", "rule", "duplicate_of")
    found = related.filter(reference=reference).first() if "\0" not in reference else None
    if found is None:
        raise UnknownRequest("No such request.")
    return found


def first_due_at(request: SubjectRequest) -> datetime:
    """The due date as of the receipt: what the first answer said, and a repeat says again."""
    return request.events.filter(number=1).values_list("due_at", flat=True)[0] or request.due_at
