"""Trying a view out: what it answers after some events, by the fold and the codec of streams and API. Pure."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from featurestore.definitions.source import ms_of
from featurestore.definitions.view import FeatureView
from featurestore.permission import PurposePermission
from featurestore.tiles.fold import Arrival, SourceFold
from featurestore.tiles.record import Record, layout_id_of
from featurestore.tiles.stored_field import pack_field
from featurestore.tiles.view_codec import ViewCodec
from featurestore.tiles.view_reader import WindowQuery, open_view

SOMEBODY = "0" * 32


def try_view(view: FeatureView, events: Iterable[tuple[datetime, msgspec.Struct]], at: datetime) -> dict[str, Any]:
    """The view's features at a time, for a customer of whom just these events are known and who allows everything.

    Raises InvalidEvent for data that the source refuses, QueryTooEarly.
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
        .fold_events(Record(), arrivals, grants, coverage_starts_ms=coverage_starts_ms, counts=Counter())
        .record
    )
    if view.name not in record.views:
        return {feature.name: feature.default for feature in view.features}
    (kept,), codec = record.views[view.name], ViewCodec(view)
    field = pack_field(1, record.offset, 1, codec.suffix_aggregates(kept.tiles))
    served = open_view(codec, field, layout_id_of(view.fingerprint, 0))
    assert served is not None
    return served.values(WindowQuery(served.codec, view.features), at_ms)
