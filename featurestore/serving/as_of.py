"""Reads as of an earlier time: which of them the store can answer exactly. Pure.

Suffix aggregates begin with the newest counted event and go back, so they can't leave one out: a view that counted an
event of the subject later than the time asked for has no exact answer. Without such an event, the state is what it was
then, and windows are finished at that time. The newest counted event's time is stored in seconds: if its second is not
over at the time asked for, the event may be later.
"""

from collections.abc import Sequence
from enum import StrEnum
from struct import error as StructError  # noqa: N812 it is a class
from typing import NamedTuple

from featurestore.definitions.view import FeatureView
from featurestore.permission import PurposePermission
from featurestore.serving.answer import Answer
from featurestore.serving.guard import carries_grant
from featurestore.store.protocol import Watermark
from featurestore.tiles.layout_id import layout_id_of
from featurestore.tiles.stored_field import VALUES_START
from featurestore.tiles.view_reader import newest_event_s


class TooEarlyReason(StrEnum):
    """Reason why a view has no exact answer as of a time."""

    LATER_EVENTS = "events came later"
    BEFORE_PERMISSION = "the permission began later"
    BEFORE_COVERAGE = "the view's coverage began later"


class TooEarlyView(NamedTuple):
    """View without an exact answer, of the subject with this index in the read."""

    subject_index: int
    view: str
    reason: TooEarlyReason


class AsOfTooEarly(ValueError):
    """Some views have no exact answer as of that time. ``answers`` hold the values that they would have had."""

    def __init__(self, views: Sequence[TooEarlyView], answers: Sequence[Answer]) -> None:
        super().__init__(f"no exact answer as of that time for {len(views)} views of subjects")
        self.views, self.answers = views, answers


def too_early_reason(
    view: FeatureView, raw: bytes | None, permission: PurposePermission, watermark: Watermark | None, at_ms: int
) -> TooEarlyReason | None:
    """Why a view that is allowed now has no exact answer as of a time. None if it has one; None too if no worker has
    folded the view on the subject's partition: then it is stale, as of any time.
    """
    if at_ms < permission.start_ms:
        return TooEarlyReason.BEFORE_PERMISSION
    coverage_start_ms = watermark.coverage_starts_ms.get(view.fingerprint) if watermark else None
    if coverage_start_ms is None:
        return None  # the view is stale, as of any time
    if at_ms < coverage_start_ms:
        return TooEarlyReason.BEFORE_COVERAGE
    if raw is None or len(raw) < VALUES_START or not carries_grant(raw, permission):
        return None
    try:
        newest_s = newest_event_s(raw, layout_id_of(view.fingerprint, coverage_start_ms))
    except StructError:
        return None  # it can't be read: the view is stale, as of any time
    if newest_s is not None and at_ms + 1 < (newest_s + 1) * 1000:
        return TooEarlyReason.LATER_EVENTS
    return None
