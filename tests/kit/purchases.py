"""Event source and views of purchases, with an oracle of their features."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from featurestore.aggregations import (
    Count,
    DecayedCount,
    DecayedSum,
    DistinctCount,
    First,
    Last,
    LastN,
    Max,
    Mean,
    Min,
    Quantile,
    SessionCount,
    SessionMeanDuration,
    StdDev,
    Sum,
    TimeSinceLast,
    TopK,
    Variance,
)
from featurestore.definitions import Event, EventSource, Feature, FeatureView, Label, Money
from featurestore.tiles.fold import Arrival

EPOCH_S = 1_700_000_000


class Purchase(msgspec.Struct, forbid_unknown_fields=True):
    kind: Literal["bought", "returned"]
    amount: Money
    item: Label | None = None
    weight: float | None = None


purchases = EventSource("purchases", data=Purchase, type="test.purchase.v1")
spend = FeatureView(
    "spend",
    source=purchases,
    purposes={"service"},
    features=[
        Sum("amount").over("1m", "1h", "2d", "lifetime"),
        Count().over("1m", "10m", "1h", "2d", "lifetime"),
        Count(where={"kind": "returned"}).over("1h", "lifetime", name="returns"),
        Min("amount").over("10m", "2d"),
        Max("amount", where={"kind": "bought"}).over("1h", "2d"),
        First("item").over("1h", "lifetime"),
        Last("item").over("1h", "2d"),
        Mean("amount").over("1h", "2d"),
        TimeSinceLast().over("2d"),
    ],
)

habits = FeatureView(
    "habits",
    source=purchases,
    purposes={"service"},
    features=[
        First("item").over("2d"),
        LastN("item", n=3).over("1h", "2d"),
        DistinctCount("item").over("1h", "2d"),
        TopK("item", k=2).over("1h", "2d", name="favourites"),
        Quantile("amount", q=0.5).over("2d"),
        SessionCount(gap="30m").over("2d"),
        SessionMeanDuration(gap="10m").over("1h"),
        Variance("amount").over("2d"),
        DecayedCount(half_life="10m").over("1h", "2d"),
    ],
)

weights = FeatureView(
    "weights",
    source=purchases,
    purposes={"service"},
    features=[
        Sum("weight").over("1h", "2d"),
        Mean("weight").over("2d"),
        StdDev("weight").over("1h"),
        DecayedSum("weight", half_life="1m").over("2d"),
        Quantile("weight", q=0.9).over("1h"),
    ],
)

crowded = FeatureView(
    "crowded",
    source=purchases,
    purposes={"service"},
    features=[
        TopK("item", k=2).over("10m", "2d"),
        DistinctCount("item").over("1h"),
        SessionCount(gap="30m").over("2d"),
        Count().over("10m", "1h", "2d"),
    ],
)

both = FeatureView(
    "both",
    source=purchases,
    purposes={"service", "personalisation"},
    features=[Sum("amount").over("1h", "lifetime"), Count().over("2d")],
)

refunds = FeatureView(
    "refunds",
    source=purchases,
    purposes={"service"},
    features=[Sum("amount", where={"kind": "returned"}).over("1h", "2d")],
)


def purchase(
    number: int,
    at_ms: int,
    amount: int,
    *,
    returned: bool = False,
    item: str | None = None,
    weight: float | None = None,
) -> Event:
    """An event at a time, with a number as its event_id_hash; ``amount`` in 1/10,000."""
    return Event("0" * 32, at_ms, number, ("returned" if returned else "bought", amount, item, weight))


def arrivals(events: list[Event], first_offset: int = 0) -> list[Arrival]:
    """The events as Kafka would deliver them, at once."""
    return [Arrival(first_offset + i, 2**45, event) for i, event in enumerate(events)]


def expected(feature: Feature, events: list[Event], now_ms: int, view: FeatureView = spend) -> Any:
    """A feature's value from the raw events, by its definition alone."""
    aggregation, position, filters = view.aggregations[feature.aggregation_index]
    start_ms = 0
    if feature.window_s is not None:
        start_s = now_ms // 1000 - feature.window_s
        start_ms = (start_s - start_s % feature.resolution_s) * 1000
    state = aggregation.zero()
    for event in events:
        within = event.time_ms >= start_ms
        if within and all(event.values[at] in allowed for at, allowed in filters):
            value = None if position is None else event.values[position]
            if position is None or value is not None:
                state = aggregation.update(state, value, event.time_ms, event.event_id_hash)
    return aggregation.answer(state, now_ms)


def iso(time_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
