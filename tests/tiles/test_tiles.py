"""Tiles: exact for any window at any time, and the same bytes for any order, batching and replay."""

from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.aggregations import Count, Sum, TopK
from featurestore.definitions import Event, FeatureView
from featurestore.permission import PurposePermission
from featurestore.tiles import cell_codecs, deduplication
from featurestore.tiles.fold import Arrival, SourceFold
from featurestore.tiles.layout_id import layout_id_of
from featurestore.tiles.state_record import StateRecord, UnknownFormat, decode
from featurestore.tiles.stored_field import fencing_header_of, pack_field
from featurestore.tiles.view_codec import ViewCodec
from featurestore.tiles.view_reader import ReaderClockBehind, WindowQuery, open_view
from tests.kit.purchases import (
    EPOCH_S,
    arrivals,
    both,
    expected,
    habits,
    purchase,
    purchases,
    refunds,
    spend,
    weights,
)

VIEWS = [spend, habits, weights]
FOLD = SourceFold(VIEWS)
CODEC = ViewCodec(spend)
CODECS = {view.name: ViewCodec(view) for view in VIEWS}
PERMISSIONS = {"service": PurposePermission(True, 1, 0)}
COVERAGE = {view.fingerprint: 0 for view in VIEWS}
LAYOUT_ID = layout_id_of(spend.fingerprint, 0)
DAY_MS = 86_400_000


@pytest.fixture(scope="module", params=[2, 16], autouse=True)
def min_rows_for_runs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Columns with few rows have runs, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_codecs, "MIN_ROWS_FOR_RUNS", request.param)
        yield


times = st.one_of(
    st.integers(0, 4 * DAY_MS),
    st.integers(0, 3_600_000),
    st.integers(0, 90_000),
    st.integers(0, 4 * 24 * 60).map(lambda minute: minute * 60_000),
).map(lambda ms: EPOCH_S * 1000 + ms)


@st.composite
def event_lists(draw: st.DrawFn, most: int = 40) -> list[Event]:
    rows = draw(
        st.lists(
            st.tuples(
                times,
                st.integers(-(10**9), 10**9),
                st.booleans(),
                st.sampled_from([None, "a", "b", "c"]),
                st.none() | st.floats(-(10**12), 10**12),
            ),
            min_size=1,
            max_size=most,
        )
    )
    return [
        purchase(i, at, amount, returned=back, item=item, weight=weight)
        for i, (at, amount, back, item, weight) in enumerate(rows, 1)
    ]


def fold(
    record: StateRecord,
    events: list[Arrival],
    grants: dict[str, PurposePermission] = PERMISSIONS,
    coverage_starts_ms: dict[int, int] = COVERAGE,
    counts: Counter[str] | None = None,
) -> StateRecord:
    """One fold, through the bytes that a table would hold."""
    result = FOLD.fold_events(
        record, events, grants, coverage_starts_ms=coverage_starts_ms, counts=Counter() if counts is None else counts
    )
    return decode(result.record.encode())


def field(record: StateRecord, generation: int = 1, view: FeatureView = spend) -> bytes:
    """The field that the store would hold."""
    (stored,) = record.views[view.name]
    aggregates = CODECS[view.name].suffix_aggregates(stored.tiles)
    return pack_field(generation, record.offset, stored.grant_ids["service"], aggregates)


def values(record: StateRecord, now_ms: int, view: FeatureView = spend) -> dict[str, object]:
    reader = open_view(CODECS[view.name], field(record, view=view), layout_id_of(view.fingerprint, 0))
    assert reader is not None
    return reader.values(WindowQuery(reader.codec, view.features), now_ms)


laters = st.one_of(st.integers(-300_000, 3 * DAY_MS), st.integers(-300_000, 120_000))


def expected_values(view: FeatureView, events: list[Event], now_ms: int) -> dict[str, object]:
    return {feature.name: expected(feature, events, now_ms, view) for feature in view.features}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@given(event_lists(), laters, st.data())
def test_every_window_at_any_time_equals_the_raw_events(
    view: FeatureView, events: list[Event], later_ms: int, data: st.DataObject
) -> None:
    now_ms = max(event.time_ms for event in events) + later_ms
    record = StateRecord()
    rest = arrivals(data.draw(st.permutations(events)))
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        record, rest = fold(record, rest[:size]), rest[size:]
    found = values(record, now_ms, view) if view.name in record.views else expected_values(view, [], now_ms)
    assert found == expected_values(view, events, now_ms)


@given(event_lists(), st.data())
def test_bytes_do_not_depend_on_order_batches_or_replay(events: list[Event], data: st.DataObject) -> None:
    at_once = fold(StateRecord(), arrivals(events))
    piecewise = StateRecord()
    shuffled = arrivals(data.draw(st.permutations(events)))
    position = 0
    while position < len(shuffled):
        position = min(position + data.draw(st.integers(1, 10)), len(shuffled))
        start = data.draw(st.integers(0, position - 1))  # a replay begins anywhere before
        piecewise = fold(piecewise, shuffled[start:position]) if start <= piecewise.offset + 1 else piecewise
        position = piecewise.offset + 1
    assert piecewise.encode() == at_once.encode()
    for view in piecewise.views:
        assert field(piecewise, view=CODECS[view].view) == field(at_once, view=CODECS[view].view)


@given(event_lists(), st.data())
def test_duplicate_event_counts_once(events: list[Event], data: st.DataObject) -> None:
    counts: Counter[str] = Counter()
    doubled = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)))))
    record = fold(StateRecord(), arrivals(doubled), counts=counts)
    assert counts["duplicate"] == len(doubled) - len(events)
    assert record.views == fold(StateRecord(), arrivals(events)).views


@given(event_lists(), times)
def test_events_before_since_do_not_count(events: list[Event], since_ms: int) -> None:
    record = fold(StateRecord(), arrivals(events), {"service": PurposePermission(True, 4, since_ms)})
    counted = [event for event in events if event.time_ms >= since_ms]
    assert record.views == (
        fold(StateRecord(), arrivals(counted), {"service": PurposePermission(True, 4, 0)}).views if counted else {}
    )


def test_event_with_a_kafka_time_before_since_does_not_count() -> None:
    event = purchase(1, EPOCH_S * 1000, 5)
    grants = {"service": PurposePermission(True, 1, EPOCH_S * 1000)}
    assert not fold(StateRecord(), [Arrival(0, EPOCH_S * 1000 - 1, event)], grants).views
    assert fold(StateRecord(), [Arrival(0, EPOCH_S * 1000, event)], grants).views


def test_new_grant_starts_empty_and_no_grant_keeps_only_the_offset() -> None:
    record = fold(StateRecord(), arrivals([purchase(1, EPOCH_S * 1000, 5)]))
    again = fold(record, arrivals([purchase(2, EPOCH_S * 1000, 7)], 1), {"service": PurposePermission(True, 2, 0)})
    assert values(again, EPOCH_S * 1000)["spend_count_lifetime"] == 1
    assert fold(record, arrivals([purchase(3, EPOCH_S * 1000, 7)], 1), {}) == StateRecord(offset=1)


def test_pause_keeps_the_bytes_and_counts_nothing() -> None:
    before = fold(StateRecord(), arrivals([purchase(1, EPOCH_S * 1000, 5)]))
    counts: Counter[str] = Counter()
    paused = {"service": PurposePermission(False, 1, 0, paused=True)}
    during = fold(before, arrivals([purchase(2, EPOCH_S * 1000 + 10, 7)], 1), paused, counts=counts)
    assert (during.offset, during.views, counts["denied"]) == (1, before.views, 1)
    assert during.deduplication_window == before.deduplication_window


def test_pause_of_another_grant_keeps_nothing() -> None:
    before = fold(StateRecord(), arrivals([purchase(1, EPOCH_S * 1000, 5)]))
    assert not fold(before, [], {"service": PurposePermission(False, 2, 0, paused=True)}).views


@given(event_lists(), event_lists(), event_lists(), st.data())
def test_state_from_before_a_pause_is_kept_and_counted(
    before: list[Event], during: list[Event], after: list[Event], data: st.DataObject
) -> None:
    """However the events of the pause come: while it lasts or after it, late or again."""
    lifted_ms = max(event.time_ms for event in [*before, *during]) + 1
    before, during, after = renumbered(before, 100), renumbered(during, 200), renumbered(after, 300, lifted_ms)
    record = fold(StateRecord(), arrivals(before))
    paused = {"service": PurposePermission(False, 1, 0, paused=True)}
    record = fold(record, arrivals(during, record.offset + 1), paused)
    mixed = data.draw(st.permutations([*after, *data.draw(st.lists(st.sampled_from([*before, *during])))]))
    lifted = {"service": PurposePermission(True, 1, lifted_ms)}
    record = fold(record, arrivals(mixed, record.offset + 1), lifted)
    alone = fold(StateRecord(), arrivals([*before, *after]))
    assert record.views == alone.views


def renumbered(events: list[Event], first: int, later_ms: int = 0) -> list[Event]:
    """The events with ids of their own, from a time on."""
    moved_ms = later_ms - EPOCH_S * 1000 if later_ms else 0
    return [Event(event.subject, event.time_ms + moved_ms, first + i, event.values) for i, event in enumerate(events)]


@given(event_lists(), event_lists())
def test_paused_purpose_is_kept_beside_one_that_counts_on(events: list[Event], more: list[Event]) -> None:
    shared, coverage_starts_ms = SourceFold([both]), {both.fingerprint: 0}

    def folded(record: StateRecord, found: list[Arrival], pause: bool) -> StateRecord:
        grants = {
            "service": PurposePermission(not pause, 1, 0, paused=pause),
            "personalisation": PurposePermission(True, 7, 0),
        }
        result = shared.fold_events(record, found, grants, coverage_starts_ms=coverage_starts_ms, counts=Counter())
        return decode(result.record.encode())

    before = folded(StateRecord(), arrivals(renumbered(events, 100)), False)
    further = arrivals(renumbered(more, 200), before.offset + 1)
    during, without = folded(before, further, True), folded(before, further, False)
    assert purposes(during)["service"] == purposes(before)["service"]
    assert purposes(during)["personalisation"] == purposes(without)["personalisation"]


def test_changed_definition_starts_empty() -> None:
    record = fold(StateRecord(), arrivals([purchase(1, EPOCH_S * 1000, 5)]))
    (stored,) = record.views["spend"]
    stored.tiles = (LAYOUT_ID + 1).to_bytes(4, "little") + stored.tiles[4:]
    assert open_view(CODEC, field(record), LAYOUT_ID) is None
    assert values(fold(record, arrivals([purchase(2, EPOCH_S * 1000, 5)], 1)), EPOCH_S * 1000)["spend_count_1h"] == 1


@pytest.mark.parametrize("windows", [("1m", "lifetime"), ("2d", "lifetime"), ("1m",)])
def test_fingerprint_depends_on_the_finest_window_of_each_aggregation(windows: tuple[str, ...]) -> None:
    def view(*counted: str) -> FeatureView:
        features = [Sum("amount").over("1m", "2d", "lifetime"), Count().over(*counted)]
        return FeatureView("spend", source=purchases, purposes={"service"}, features=features)

    assert view("lifetime").resolutions == view(*windows).resolutions
    assert view("lifetime").fingerprint != view(*windows).fingerprint


def test_single_tile_without_a_value_answers_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TopK, "growing", False)  # blobs whose suffix aggregates are made when packed
    record = fold(StateRecord(), arrivals([purchase(1, EPOCH_S * 1000, 5)]))
    assert values(record, EPOCH_S * 1000, habits)["favourites_1h"] == []


def test_record_of_an_earlier_version_is_refused_with_advice() -> None:
    earlier = msgspec.msgpack.encode([7, {123: 1_700_000_000}, {"spend/service": [1, 1, 0, []]}])
    with pytest.raises(UnknownFormat, match="RAPPORT_GENERATION one higher"):
        decode(earlier)


def test_events_before_the_coverage_start_do_not_count() -> None:
    events = [purchase(1, EPOCH_S * 1000, 5), purchase(2, EPOCH_S * 1000 + 10, 5)]
    coverage_start_ms = EPOCH_S * 1000 + 10
    record = fold(StateRecord(), arrivals(events), coverage_starts_ms={spend.fingerprint: coverage_start_ms})
    reader = open_view(CODEC, field(record), layout_id_of(spend.fingerprint, coverage_start_ms))
    assert reader is not None
    assert reader.values(WindowQuery(reader.codec, spend.features), coverage_start_ms)["spend_count_lifetime"] == 1


def test_deduplication_window_is_bounded_and_older_events_unchecked() -> None:
    counts: Counter[str] = Counter()
    record = fold(
        StateRecord(), arrivals([purchase(i, EPOCH_S * 1000 + i * 1000, 1) for i in range(1, 1_101)]), counts=counts
    )
    assert len(record.deduplication_window) == deduplication.DEDUPLICATION_EVENTS * deduplication.ENTRY_SIZE
    assert counts["unchecked"] == 0
    late = purchase(1, EPOCH_S * 1000 - 86_400_000, 1)
    record = fold(record, arrivals([late], 1_100), counts=counts)
    assert counts["unchecked"] == 1
    assert {stored.unchecked_s for states in record.views.values() for stored in states} == {late.time_ms // 1000}


def test_replay_of_three_hundred_events_of_one_customer_counts_each_once() -> None:
    events = [purchase(i, EPOCH_S * 1000 + i * 1000, 1) for i in range(1, 301)]
    counts: Counter[str] = Counter()
    record = fold(fold(StateRecord(), arrivals(events)), arrivals(events, 300), counts=counts)
    assert counts["duplicate"] == 300
    assert values(record, EPOCH_S * 1000 + 300_000)["spend_count_lifetime"] == 300


def test_events_of_the_first_steps_of_1970_are_no_lifetime_row() -> None:
    events = [purchase(1, 500, 1), purchase(2, 20_000, 2), purchase(3, 70_000, 3)]
    for now_ms in (500, 20_000, 70_000, 4_000_000, 5 * DAY_MS):
        counted = [event for event in events if event.time_ms <= now_ms]
        record = fold(StateRecord(), arrivals(counted))
        assert values(record, now_ms) == expected_values(spend, counted, now_ms)


def test_query_over_five_minutes_before_the_newest_event_raises() -> None:
    record = fold(StateRecord(), arrivals([purchase(1, EPOCH_S * 1000, 5)]))
    assert values(record, EPOCH_S * 1000 - 300_000)["spend_count_1m"] == 1
    with pytest.raises(ReaderClockBehind, match="view spend"):
        values(record, EPOCH_S * 1000 - 301_000)


def test_field_begins_with_its_fencing_header() -> None:
    record = fold(StateRecord(), arrivals([purchase(1, EPOCH_S * 1000, 5)]), {"service": PurposePermission(True, 7, 0)})
    assert fencing_header_of(field(record, 3)) == (3, 0, 7)


@given(event_lists(), st.integers(2, 2**60))
def test_numbers_of_any_size_are_packed(events: list[Event], size: int) -> None:
    events = [event._replace(values=(event.values[0], size // 64, None, None)) for event in events]
    now_ms = max(event.time_ms for event in events)
    numbers_alone = SourceFold([spend])
    record = numbers_alone.fold_events(
        StateRecord(), arrivals(events), PERMISSIONS, coverage_starts_ms=COVERAGE, counts=Counter()
    ).record
    assert values(record, now_ms) == expected_values(spend, events, now_ms)


@given(event_lists(), times, times, st.data())
def test_purposes_with_equal_states_keep_what_each_would_alone(
    events: list[Event], since_ms: int, other_since_ms: int, data: st.DataObject
) -> None:
    shared = SourceFold([both])
    grants = {
        "service": PurposePermission(True, 1, since_ms),
        "personalisation": PurposePermission(True, 7, other_since_ms),
    }
    records = {None: StateRecord(), "service": StateRecord(), "personalisation": StateRecord()}
    rest = arrivals(data.draw(st.permutations(events)))
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        for alone, record in records.items():
            held_permissions = grants if alone is None else {alone: grants[alone]}
            coverage_starts_ms = {both.fingerprint: 0}
            result = shared.fold_events(
                record, rest[:size], held_permissions, coverage_starts_ms=coverage_starts_ms, counts=Counter()
            )
            records[alone] = decode(result.record.encode())
        rest = rest[size:]
    alone = {**purposes(records["service"]), **purposes(records["personalisation"])}
    assert purposes(records[None]) == alone


def purposes(record: StateRecord) -> dict[str, tuple[int, bytes]]:
    """The grant id and tiles of the view, by purpose."""
    return {
        p: (grant, stored.tiles) for stored in record.views.get("both", ()) for p, grant in stored.grant_ids.items()
    }


@given(event_lists(), st.data())
def test_event_that_passes_no_filter_changes_nothing(events: list[Event], data: st.DataObject) -> None:
    fold_returns = SourceFold([refunds])
    returned = [event for event in events if event.values[0] == "returned"]
    coverage_starts_ms = {refunds.fingerprint: 0}
    shuffled = arrivals(data.draw(st.permutations(events)))
    with_all = fold_returns.fold_events(
        StateRecord(), shuffled, PERMISSIONS, coverage_starts_ms=coverage_starts_ms, counts=Counter()
    ).record
    alone = fold_returns.fold_events(
        StateRecord(), arrivals(returned), PERMISSIONS, coverage_starts_ms=coverage_starts_ms, counts=Counter()
    ).record
    assert (with_all.views, with_all.deduplication_window) == (alone.views, alone.deduplication_window)
