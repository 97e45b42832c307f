"""Types of the answer to a feature read of one subject. Pure."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

EVICTED = "the customer was idle; the values are being pushed to the store again"
"""Reason of a stale view whose values were deleted because the subject was idle. The access log asks for them."""


class Status(StrEnum):
    """Status of a view's values in an answer."""

    PRESENT = "present"
    MISSING = "missing"  # allowed, and no event counted: the declared defaults
    STALE = "stale"  # older than the view's max_age_s or of unknown age; null if the store has no value
    WITHHELD = "withheld"  # no permission: null


class ViewAnswer(msgspec.Struct, frozen=True, omit_defaults=False):
    """Status of one view, start of its longest window and age of its values."""

    status: Status
    start: str | None = None  # RFC 3339, UTC; every event since then that counts is included
    age_s: float | None = None
    reason: str | None = None
    defaults: Annotated[
        bool | msgspec.UnsetType,
        msgspec.Meta(description="True: nothing is known, and the features are their declared defaults, as requested."),
    ] = msgspec.UNSET
    unchecked_until: Annotated[
        str | msgspec.UnsetType,
        msgspec.Meta(
            description="Events before this time (RFC 3339, UTC) may have counted twice: one came too late to check."
        ),
    ] = msgspec.UNSET


class Answer(msgspec.Struct, frozen=True):
    """Features of one subject for one service and purpose at one time. Null: withheld, stale without a value, or a
    null value; the view's status states which.
    """

    service: str
    purpose: str
    at: str  # RFC 3339, UTC
    features: dict[str, Any]
    views: dict[str, ViewAnswer]
