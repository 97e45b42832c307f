"""Trial of a view: its features after some events, by the fold and codec of streams and API, without a store. Pure."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from featurestore.definitions.source import ms_of
from featurestore.definitions.view import FeatureView
from featurestore.permission import PurposePermission
from featurestore.tiles.fold import Arrival, SourceFold
from featurestore.tiles.layout_id import layout_id_of
from featurestore.tiles.state_record import StateRecord
from featurestore.tiles.stored_field import pack_field
from featurestore.tiles.view_codec import ViewCodec
from featurestore.tiles.view_reader import WindowQuery, open_view

SUBJECT = "0" * 32


def try_view(view: FeatureView, events: Iterable[tuple[datetime, msgspec.Struct]], at: datetime) -> dict[str, Any]:
    """The view's features at a time, for a customer with only these events who allows every purpose.

    Raises InvalidEvent for data that the source refuses, ReaderClockBehind.
    """
    at_ms, source, purpose = ms_of(at), view.source, min(view.purposes)
    arrivals = []
    for offset, (time, data) in enumerate(events):
        sent = source.encode(id=str(offset), source="trial", subject=SUBJECT, time=time, data=data)
        arrivals.append(Arrival(offset, at_ms, source.decode(sent)))
    permissions = {purpose: PurposePermission(allowed=True, grant_id=1, since_ms=0)}
    fold, starts_ms = SourceFold([view]), {view.fingerprint: 0}
    result = fold.fold_events(StateRecord(), arrivals, permissions, coverage_starts_ms=starts_ms, counts=Counter())
    record = result.record
    if view.name not in record.views:
        return {feature.name: feature.default for feature in view.features}
    (stored,), codec = record.views[view.name], ViewCodec(view)
    field = pack_field(1, record.offset, 1, codec.suffix_aggregates(stored.tiles))
    opened = open_view(codec, field, layout_id_of(view.fingerprint, 0))
    assert opened is not None
    return opened.values(WindowQuery(codec, view.features), at_ms)
