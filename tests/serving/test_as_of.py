"""Reads as of an earlier time: the answer of a read at that time, or a refusal; no later event shows."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from featurestore.aggregations import (
    Count,
    DecayedSum,
    Last,
    LastN,
    Mean,
    Quantile,
    SessionMeanDuration,
    StdDev,
    Sum,
    TimeSinceLast,
    TopK,
    Variance,
)
from featurestore.definitions import Event, FeatureService, FeatureView
from featurestore.identity import partition_of
from featurestore.permission import Denial, Permission, PurposePermission
from featurestore.serving.answer import Answer, Status
from featurestore.serving.as_of import AsOfTooEarly, TooEarlyReason
from featurestore.serving.reader import FeatureReader
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import FieldWrite, Watermark, WriteOutcome
from featurestore.tiles.fold import SourceFold
from featurestore.tiles.state_record import StateRecord
from featurestore.tiles.stored_field import field_name, pack_field
from featurestore.tiles.view_codec import ViewCodec
from tests.kit.purchases import EPOCH_S, arrivals, expected, purchase, purchases, refunds, spend
from tests.kit.stores import vouch

ANN = "a" * 32
START_MS = EPOCH_S * 1000
DAY_MS = 86_400_000
NOW_MS = START_MS + 30 * DAY_MS
SINCE_MS, COVERAGE_START_MS = START_MS - 3_600_000, START_MS - 7_200_000

recent = FeatureView(
    "recent",
    source=purchases,
    purposes={"service"},
    features=[
        Last("amount").over("lifetime"),
        Sum("amount").over("10m", "lifetime"),
        Count().over("10m", "2d"),
        Mean("amount").over("2d"),
        Variance("amount").over("2d"),
        StdDev("amount", sample=True).over("1h"),
        TimeSinceLast(where={"kind": "returned"}).over("1h", "lifetime"),
    ],
)
grown = FeatureView(
    "grown",
    source=purchases,
    purposes={"service"},
    features=[
        LastN("item", n=3).over("1h", "lifetime"),
        TopK("item", k=2).over("1h", "lifetime"),
        Quantile("amount", q=0.9).over("1h"),
        SessionMeanDuration(gap="10m").over("2d"),
        DecayedSum("amount", half_life="1h").over("2d"),
    ],
)
VIEWS = [spend, recent, grown, refunds]
SERVICE = FeatureService("chat", VIEWS, purpose="service")
FOLD = SourceFold(VIEWS)
ALLOWED = PurposePermission(True, 1, SINCE_MS)

times = st.one_of(st.integers(-DAY_MS, 3 * DAY_MS), st.integers(0, 3_600_000), st.integers(0, 5_000)).map(
    lambda ms: START_MS + ms
)
histories = st.lists(
    st.tuples(times, st.integers(-(10**9), 10**9), st.booleans(), st.sampled_from([None, "a", "b", "c"])), max_size=25
).map(
    lambda rows: [purchase(i, at, amount, returned=back, item=item) for i, (at, amount, back, item) in enumerate(rows)]
)


def reader_of(
    events: list[Event],
    grant: PurposePermission = ALLOWED,
    coverage_start_ms: int = COVERAGE_START_MS,
    folded_to_ms: int = NOW_MS,
) -> FeatureReader:
    """A reader of the store to which the streams have pushed Ann's events."""
    store = MemoryStore()
    vouch(store)
    coverage_starts_ms = {view.fingerprint: coverage_start_ms for view in VIEWS}
    incarnation = store.read([], [], [], 100).nodes[0].incarnation
    store.advance_watermark(
        "purchases", partition_of(ANN, 8), Watermark(1, 0, folded_to_ms, coverage_starts_ms, incarnation)
    )
    store.publish_permissions({ANN: Permission(1, 1, {"service": grant})})
    record = FOLD.fold_events(
        StateRecord(), arrivals(events), {"service": grant}, coverage_starts_ms=coverage_starts_ms, counts=Counter()
    ).record
    for view in VIEWS:
        for stored in record.views.get(view.name, ()):
            raw = pack_field(1, record.offset, grant.grant_id, ViewCodec(view).suffix_aggregates(stored.tiles))
            write = FieldWrite(ANN, field_name(view.name, "service"), "service", raw)
            assert store.write([write], NOW_MS) == [WriteOutcome.DONE]
    return FeatureReader(store, 8)


def read(reader: FeatureReader, now_ms: int = NOW_MS, as_of_ms: int | None = None, **chosen: Any) -> Answer:
    (answer,) = reader.read(SERVICE, "service", [ANN], now_ms=now_ms, timeout_ms=100, as_of_ms=as_of_ms, **chosen)
    return answer


def used_by(view: FeatureView, events: list[Event]) -> list[Event]:
    """The events that change something in a view."""
    counted = [event for event in events if event.time_ms >= SINCE_MS]
    return [
        event
        for event in counted
        if any(
            all(event.values[at] in allowed for at, allowed in filters)
            and (position is None or event.values[position] is not None)
            for _, position, filters in view.aggregations
        )
    ]


@given(histories, times)
@example([purchase(1, START_MS + 500, 7)], START_MS + 499)
@example([purchase(1, START_MS + 999, 7)], START_MS + 999)
@example([purchase(1, START_MS, 7), purchase(2, START_MS + 60_000, 9, returned=True)], START_MS + 59_999)
def test_an_as_of_read_equals_a_read_at_that_time_or_is_refused(events: list[Event], as_of_ms: int) -> None:
    reader = reader_of(events)
    by_then = [event for event in events if event.time_ms <= as_of_ms]
    at_that_time = reader_of(by_then, folded_to_ms=as_of_ms)
    for view in VIEWS:
        chosen = {"features": [feature.name for feature in view.features]}
        used = used_by(view, events)
        settled = all(event.time_ms // 1000 * 1000 + 999 <= as_of_ms for event in used)
        try:
            answer = read(reader, as_of_ms=as_of_ms, **chosen)
        except AsOfTooEarly as refused:
            (found,) = refused.views
            assert found.view == view.name
            assert as_of_ms < SINCE_MS or not settled, "every exact answer is given"
            assert (found.reason is TooEarlyReason.BEFORE_PERMISSION) == (as_of_ms < SINCE_MS)
            continue
        assert as_of_ms >= SINCE_MS
        assert settled
        assert answer == read(at_that_time, now_ms=as_of_ms, **chosen)
        if view is spend:
            counted = [event for event in by_then if event.time_ms >= SINCE_MS]
            assert answer.features == {f.name: expected(f, counted, as_of_ms) for f in spend.features}


def test_a_time_before_the_coverage_start_is_refused() -> None:
    reader = reader_of([], coverage_start_ms=START_MS)
    assert read(reader, as_of_ms=START_MS).views["spend"].status is Status.MISSING
    with pytest.raises(AsOfTooEarly) as refused:
        read(reader, as_of_ms=START_MS - 1)
    assert {found.reason for found in refused.value.views} == {TooEarlyReason.BEFORE_COVERAGE}


def test_an_as_of_read_is_judged_by_consent_now() -> None:
    ended = PurposePermission(True, 1, SINCE_MS, until_ms=NOW_MS - 1)
    for grant, reason in ((ended, Denial.EXPIRED), (PurposePermission(False, 2, SINCE_MS), Denial.REFUSED)):
        answer = read(reader_of([], grant), as_of_ms=START_MS)
        assert {view.reason for view in answer.views.values()} == {reason}
        assert read(reader_of([], grant), as_of_ms=SINCE_MS - DAY_MS).views == answer.views, "a refusal reveals no time"


def test_status_start_and_age_are_of_the_as_of_time() -> None:
    reader = reader_of([purchase(1, START_MS, 7)], folded_to_ms=START_MS + DAY_MS)
    early = read(reader, as_of_ms=START_MS + 60_000)
    assert early.at == "2023-11-14T22:14:20.000Z"
    assert (early.views["spend"].status, early.views["spend"].age_s) == (Status.PRESENT, 0)
    assert early.views["spend"].start == read(reader).views["spend"].start, "the permission's, in a lifetime"
    lagging = read(reader, as_of_ms=START_MS + DAY_MS + 61_000)
    assert (lagging.views["spend"].status, lagging.views["spend"].age_s) == (Status.STALE, 61)
