"""Questions about an earlier time: which of them the store can answer exactly. Pure.

Running totals begin with the newest event and go back, so they can't leave one out: a view whose subject has an event
after the time asked for has no exact answer. Without one, the state is what it was then, and windows are finished at
that time. Events are told apart by the second of the newest: one within the second asked for may lie behind it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from featurestore.definitions.view import FeatureView
from featurestore.permission import PurposePermission
from featurestore.serving.answer import Answer
from featurestore.serving.guard import carries_grant
from featurestore.store.protocol import Watermark
from featurestore.tiles.record import layout_id_of
from featurestore.tiles.view_reader import newest_event_s


class TooEarlyReason(StrEnum):
    """Why a time is too early for a view."""

    LATER_EVENTS = "events came later"
    BEFORE_PERMISSION = "the permission began later"
    BEFORE_COVERAGE = "the view's coverage began later"


class TooEarlyView(NamedTuple):
    """A view of the subject at a place in the question."""

    place: int
    view: str
    reason: TooEarlyReason


class AsOfTooEarly(ValueError):
    """Something asked for has no exact answer as of that time. ``answers`` are what would have been answered."""

    def __init__(self, views: Sequence[TooEarlyView], answers: Sequence[Answer]) -> None:
        super().__init__(f"no exact answer as of that time for {len(views)} views of subjects")
        self.views, self.answers = views, answers


def too_early_reason(
    view: FeatureView, raw: bytes | None, grant: PurposePermission, mark: Watermark | None, at_ms: int
) -> TooEarlyReason | None:
    """Why a view that is allowed now can't be answered as of a time; None if it can, or has no answer at any time."""
    if at_ms < grant.since_ms:
        return TooEarlyReason.BEFORE_PERMISSION
    coverage_start_ms = mark.coverage_starts_ms.get(view.fingerprint) if mark else None
    if coverage_start_ms is None:
        return None  # stale, whatever the time
    if at_ms < coverage_start_ms:
        return TooEarlyReason.BEFORE_COVERAGE
    if raw is None or not carries_grant(raw, grant):
        return None
    newest_s = newest_event_s(raw, layout_id_of(view.fingerprint, coverage_start_ms))
    if newest_s is not None and at_ms + 1 < (newest_s + 1) * 1000:
        return TooEarlyReason.LATER_EVENTS
    return None
