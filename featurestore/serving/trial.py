"""Trying a view out: what it answers after some events, by the fold and the layout of streams and API. Pure."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from featurestore.definitions.source import ms_of
from featurestore.definitions.view import FeatureView
from featurestore.permission import PurposePermission
from featurestore.tiles.fold import Arrival, SourceFold
from featurestore.tiles.record import Record, edition_of
from featurestore.tiles.view_codec import Layout
from featurestore.tiles.view_reader import STAMP, Asked, opened

SOMEBODY = "0" * 32


def answer_of(view: FeatureView, events: Iterable[tuple[datetime, msgspec.Struct]], at: datetime) -> dict[str, Any]:
    """The view's features at a time, for a customer of whom just these events are known and who allows everything.

    Raises InvalidEvent for data that the source refuses, QuestionTooEarly.
    """
    at_ms, source, purpose = ms_of(at), view.source, min(view.purposes)
    arrivals = []
    for offset, (time, data) in enumerate(events):
        sent = source.encode(id=str(offset), source="trial", subject=SOMEBODY, time=time, data=data)
        arrivals.append(Arrival(offset, at_ms, source.decode(sent)))
    coverage_starts_ms, grants = (
        {view.fingerprint: 0},
        {purpose: PurposePermission(allowed=True, grant_id=1, since_ms=0)},
    )
    record = (
        SourceFold([view])
        .fold(Record(), arrivals, grants, coverage_starts_ms=coverage_starts_ms, counts=Counter())
        .record
    )
    if view.name not in record.views:
        return {feature.name: feature.default for feature in view.features}
    (kept,), layout = record.views[view.name], Layout(view)
    field = STAMP.pack(1, record.offset, 1) + layout.totals(kept.tiles)
    served = opened(layout, field, edition_of(view.fingerprint, 0))
    assert served is not None
    return served.values(Asked(served.layout, view.features), at_ms)
