"""Erasure certificate as a document to be signed: every location, what was done there, when it was checked.

It names nobody: the request by its reference, an erasure without a request by its number.
"""

from datetime import UTC, datetime
from typing import Any

from featurestore.config import settings
from featurestore.requests.erasure.certificate import title_of
from featurestore.requests.erasure.errors import NoCertificate
from featurestore.requests.erasure.models import Erasure, ErasureStep

OUTCOMES = {
    ErasureStep.State.CHECKED: "erased, and nothing found",
    ErasureStep.State.WAITS: "goes by itself, by the stated time",
    ErasureStep.State.HELD: "kept by a legal hold",
}


def certificate_document(reference: str) -> dict[str, Any]:
    """The certificate of the erasure of a request (its reference), or of an erasure (its number). Raises NoCertificate.

    It is of the state as it is: what waits or is held today is another certificate once it is erased.
    """
    erasures = Erasure.objects.select_related("request")
    by_number = erasures.filter(pk=int(reference)) if reference.isdecimal() and len(reference) < 16 else erasures.none()
    erasure = by_number.first() or erasures.filter(request__reference=reference).first()
    if erasure is None:
        raise NoCertificate("No erasure has this reference or number.")
    if erasure.state == Erasure.State.ERASING or erasure.begun_at is None:
        raise NoCertificate(f"Erasure {erasure} is not finished yet: its locations are not all checked.")
    if unproven := [step.location for step in erasure.steps.all() if step.state not in OUTCOMES]:
        raise NoCertificate(f"Erasure {erasure} is not proven in {', '.join(sorted(unproven))} yet.")
    return {
        "type": "erasure certificate",
        "controller": settings().organisation,
        "erasure": erasure.pk,
        "request": erasure.request.reference if erasure.request else None,
        "purposes": erasure.purposes or "all",
        "sources": erasure.sources or "all",
        "begun_at": _text(erasure.begun_at),
        "denied_at": _text(erasure.denied_at),
        "answered_at": _text(erasure.answered_at),
        "closed_at": _text(erasure.closed_at),
        "locations": [_location(step) for step in erasure.steps.order_by("position")],
    }


def _location(step: ErasureStep) -> dict[str, Any]:
    return {
        "location": step.location,
        "title": title_of(step.location),
        "outcome": OUTCOMES[ErasureStep.State(step.state)],
        "erased": step.erased,
        "erased_at": _text(step.erased_at),
        "looked_at": step.looked_at,
        "traces": step.traces,
        "checked_at": _text(step.checked_at),
        "gone_by": _text(step.gone_at),
    }


def _text(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None
