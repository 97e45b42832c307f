"""Cuts: a view stays within its bytes, its bytes depend on the set of events alone, and what is missing is told."""

import copy
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.catalog.chat import dialogue, mood
from featurestore.definitions import Event, FeatureView
from featurestore.definitions.bounds import RECORD_BYTES, VIEW_BYTES, ViewBounds
from featurestore.permission import PurposePermission
from featurestore.tiles.fold import Arrival, SourceFold
from featurestore.tiles.layout_id import layout_id_of
from featurestore.tiles.state_record import StateRecord, decode
from featurestore.tiles.stored_field import pack_field
from featurestore.tiles.view_codec import ViewCodec
from featurestore.tiles.view_reader import ViewReader, WindowQuery, open_view
from tests.kit.purchases import EPOCH_S, arrivals, crowded, expected, purchase, spend

LEVEL_BYTES = 170  # just more than a tile of 2 days takes of eight items
PERMISSIONS = {"service": PurposePermission(True, 1, 0), "personalisation": PurposePermission(True, 2, 0)}


def bounded(view: FeatureView, level_bytes: int) -> FeatureView:
    small = copy.copy(view)
    small.bounds = ViewBounds(VIEW_BYTES, level_bytes)
    return small


SMALL = {"without lifetime": bounded(crowded, LEVEL_BYTES), "with lifetime": bounded(spend, 1_100)}
both_kinds = pytest.mark.parametrize("view", SMALL.values(), ids=SMALL.keys())

times = st.integers(0, 600_000) | st.integers(0, 3 * 3_600_000) | st.integers(0, 4 * 86_400_000)


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    rows = draw(st.lists(st.tuples(times, st.sampled_from("abcdefgh"), st.integers(1, 9)), min_size=1, max_size=60))
    return [purchase(i, EPOCH_S * 1000 + at, amount, item=item) for i, (at, item, amount) in enumerate(rows, 1)]


def fold(
    view: FeatureView, record: StateRecord, events: list[Arrival], counts: Counter[str] | None = None
) -> StateRecord:
    result = SourceFold([view]).fold_events(
        record,
        events,
        PERMISSIONS,
        coverage_starts_ms={view.fingerprint: 0},
        counts=Counter() if counts is None else counts,
    )
    return decode(result.record.encode())


def opened(view: FeatureView, record: StateRecord) -> ViewReader:
    codec = ViewCodec(view)
    field = pack_field(1, record.offset, 1, codec.suffix_aggregates(record.views[view.name][0].tiles))
    reader = open_view(codec, field, layout_id_of(view.fingerprint, 0))
    assert reader is not None
    return reader


@both_kinds
@given(event_lists(), st.data())
def test_bytes_of_cut_tiles_do_not_depend_on_order_or_batches(
    view: FeatureView, events: list[Event], data: st.DataObject
) -> None:
    at_once = fold(view, StateRecord(), arrivals(events))
    rest, piecewise = arrivals(data.draw(st.permutations(events))), StateRecord()
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        piecewise, rest = fold(view, piecewise, rest[:size]), rest[size:]
    assert piecewise.views == at_once.views


@both_kinds
@given(event_lists(), st.integers(0, 3 * 86_400))
def test_windows_have_every_event_since_the_told_start(view: FeatureView, events: list[Event], later_s: int) -> None:
    reader = opened(view, fold(view, StateRecord(), arrivals(events)))
    now_ms = max(event.time_ms for event in events) + later_s * 1000
    since_s = reader.complete_since_s(now_ms // 1000)
    found = reader.values(WindowQuery(reader.codec, view.features), now_ms)
    told = [event for event in events if event.time_ms >= since_s * 1000]
    for feature in view.features:
        all_values, told_values = (expected(feature, counted, now_ms, view) for counted in (events, told))
        if not since_s:
            assert found[feature.name] == all_values
        elif "count" in feature.name:
            assert told_values <= found[feature.name] <= all_values


@both_kinds
@given(event_lists())
def test_weighed_states_stay_within_the_bytes_of_their_levels(view: FeatureView, events: list[Event]) -> None:
    codec = ViewCodec(view)
    tiles = codec.decode(fold(view, StateRecord(), arrivals(events)).views[view.name][0].tiles)
    finite = [row for row, start in enumerate(tiles.starts) if start >= 0]
    sizes = [len(tiles.cells[one.states.first][row] or b"") for one in codec.cut_rule.weighed for row in finite
             if one.states.aggregation.growing]  # fmt: skip
    assert sum(sizes) <= len(codec.cut_rule.levels) * view.bounds.level_bytes


def test_crowd_is_cut_and_told_and_counted() -> None:
    view, counts = SMALL["without lifetime"], Counter[str]()
    minutes = [purchase(i, EPOCH_S * 1000 + i * 60_000, 1, item="abcdefgh"[i % 8]) for i in range(2_000)]
    record = StateRecord()
    for event in arrivals(minutes):
        record = fold(view, record, [event], counts)
    now_s = EPOCH_S + 2_000 * 60
    reader = opened(view, record)
    assert counts["cut"] > 0
    assert now_s - 2 * 86_400 < EPOCH_S < reader.complete_since_s(now_s) <= now_s
    assert reader.complete_since_s(now_s + 3 * 86_400) == 0, "no window reaches so far back"


def test_lifetime_loses_nothing_by_a_cut() -> None:
    view, counts = SMALL["with lifetime"], Counter[str]()
    minutes = [purchase(i, EPOCH_S * 1000 + i * 60_000, 1, item="abcdefgh"[i % 8]) for i in range(500)]
    record = fold(view, StateRecord(), arrivals(minutes), counts)
    found = opened(view, record).values(WindowQuery(ViewCodec(view), view.features), EPOCH_S * 1000 + 500 * 60_000)
    assert counts["cut"] == 1
    assert (found["spend_count_lifetime"], found["spend_item_first_lifetime"]) == (500, "a")


def test_one_client_cannot_make_a_record_huge() -> None:
    """Chat messages of six days with ever new intents of the largest size: once 7 MB, and 29 ms an event."""
    chance, now_s = random.Random(1), 1_800_000_000
    starts = {dialogue.fingerprint: 0, mood.fingerprint: 0}
    fold_chat, record, offset = SourceFold([dialogue, mood]), StateRecord(), 0
    at_s, counts = now_s - 6 * 86_400 + 60, Counter[str]()
    while at_s < now_s + 290:
        age_s = max(now_s + 290 - 300 - at_s, 0)
        events = []
        for _ in range(12):
            intent = f"{chance.getrandbits(24):06x}" + "\U0001f600" * 122
            values = ("customer", "c", chance.uniform(-1, 1), intent)
            events.append(Arrival(offset, 2**50, Event("0" * 32, at_s * 1000, chance.getrandbits(63), values)))
            offset += 1
        record = fold_chat.fold_events(record, events, PERMISSIONS, coverage_starts_ms=starts, counts=counts).record
        at_s += 15 if age_s < 900 else 60 if age_s < 3_600 else 900 if age_s < 86_400 else 43_200
    codecs = {view.name: ViewCodec(view) for view in (dialogue, mood)}
    for name, states in record.views.items():
        for stored in states:
            assert len(stored.tiles) <= VIEW_BYTES
            assert len(codecs[name].suffix_aggregates(stored.tiles)) <= VIEW_BYTES
    assert len(record.encode()) <= RECORD_BYTES
    assert counts["cut"] > 0
    reader = opened(dialogue, StateRecord(record.offset, views=record.views))
    assert now_s - 30 * 86_400 < reader.complete_since_s(now_s) <= now_s + 290
