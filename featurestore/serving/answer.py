"""What a feature read answers for one subject. Pure."""

from enum import StrEnum
from typing import Any

import msgspec


class Status(StrEnum):
    """What a view's values are worth."""

    PRESENT = "present"
    MISSING = "missing"  # allowed, and no event counted: the defaults
    STALE = "stale"  # present or missing, but its partition lags more than the view's max_age_s
    WITHHELD = "withheld"  # no permission: the defaults, which say nothing about the customer


class ViewAnswer(msgspec.Struct, frozen=True, omit_defaults=False):
    """One view: its status, the start of its longest window and the age of the answer."""

    status: Status
    start: str | None = None  # RFC 3339, UTC; every event that counts since then is in
    age_s: float | None = None
    reason: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """One subject's features for one service and purpose at one time. Every promised feature is there."""

    service: str
    purpose: str
    at: str  # RFC 3339, UTC
    features: dict[str, Any]
    views: dict[str, ViewAnswer]
