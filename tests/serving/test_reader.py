"""Feature reader: every promised feature, the status of each view, and no value without permission."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from featurestore.aggregations import Count, Last
from featurestore.definitions import FeatureService, FeatureView
from featurestore.identity import partition_of
from featurestore.permission import Permission, PurposePermission
from featurestore.serving.answer import Answer, Status
from featurestore.serving.reader import REPUBLISHING, UNREADABLE, FeatureReader
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import FieldWrite, StoreUnavailable, Watermark
from featurestore.tiles.layout_id import layout_id_of
from featurestore.tiles.stored_field import VALUES_START, field_name, pack_field
from featurestore.tiles.view_codec import Tiles, ViewCodec
from tests.kit.purchases import EPOCH_S, purchases
from tests.kit.stores import vouch

ANN, BOB = "a" * 32, "b" * 32
NOW_MS = EPOCH_S * 1000
SINCE_MS = NOW_MS - 3_600_000
visits = FeatureView("visits", source=purchases, purposes={"service", "sales"}, features=[Count().over("1m", "1d")])
tastes = FeatureView("tastes", source=purchases, purposes={"sales"}, features=[Last("item").over("1d", name="taste")])
SERVICE = FeatureService("chat", [visits, tastes], purpose="service")


class ReadHarness:
    def __init__(self) -> None:
        self.clock_s = 0.0
        self.store = MemoryStore(lambda: self.clock_s)
        self.reader = FeatureReader(self.store, 8)
        vouch(self.store, expiry_ms=2_000)

    def permit(self, subject: str = ANN, *, purpose: str = "service", allowed: bool = True, grant: int = 1) -> None:
        self.store.publish_permissions(
            {subject: Permission(1, 1, {purpose: PurposePermission(allowed, grant, SINCE_MS)})}
        )

    def write(
        self, subject: str = ANN, *, view: FeatureView = visits, purpose: str = "service", coverage_start_ms: int = 0
    ) -> None:
        tiles = Tiles(EPOCH_S, [EPOCH_S - 60, EPOCH_S], [[2, 1]])
        aggregates = ViewCodec(view).encode(layout_id_of(view.fingerprint, coverage_start_ms), tiles).suffix_aggregates
        value = pack_field(1, 0, 1, aggregates)
        self.store.write([FieldWrite(subject, field_name(view.name, purpose), purpose, value)], NOW_MS)

    def incarnation(self) -> str:
        return self.store.read([], [], [], 100).nodes[0].incarnation

    def advance_watermark(self, subject: str = ANN, *, folded_to_ms: int = NOW_MS, coverage_start_ms: int = 0) -> None:
        coverage_starts_ms = dict.fromkeys((visits.fingerprint, tastes.fingerprint), coverage_start_ms)
        self.store.advance_watermark(
            "purchases", partition_of(subject, 8), Watermark(1, 0, folded_to_ms, coverage_starts_ms, self.incarnation())
        )

    def read(
        self,
        *subjects: str,
        purpose: str = "service",
        now_ms: int = NOW_MS,
        features: list[str] | None = None,
        with_defaults: bool = False,
    ) -> list[Answer]:
        return self.reader.read(
            SERVICE,
            purpose,
            subjects,
            now_ms=now_ms,
            timeout_ms=100,
            features=features,
            with_defaults=with_defaults,
        )


@pytest.fixture
def harness() -> ReadHarness:
    harness = ReadHarness()
    harness.permit()
    harness.write()
    harness.advance_watermark()
    return harness


def test_values_have_status_start_and_age(harness: ReadHarness) -> None:
    (answer,) = harness.read(ANN, now_ms=NOW_MS + 1_500)
    assert answer.features == {"visits_count_1m": 1, "visits_count_1d": 3, "taste": None}
    visits_ = answer.views["visits"]
    assert (visits_.status, visits_.start, visits_.age_s) == (Status.PRESENT, "2023-11-14T21:13:20.000Z", 1.5)
    assert answer.at == "2023-11-14T22:13:21.500Z"


def test_watermark_ahead_of_now_makes_a_view_stale_since_its_age_is_unknown(harness: ReadHarness) -> None:
    harness.advance_watermark(folded_to_ms=NOW_MS + 2_000)
    assert harness.read(ANN)[0].views["visits"].status is Status.PRESENT
    harness.advance_watermark(folded_to_ms=NOW_MS + 2_001)
    (answer,) = harness.read(ANN)
    assert (answer.views["visits"].status, answer.views["visits"].age_s) == (Status.STALE, None)
    assert answer.features["visits_count_1d"] == 3
    assert harness.read(ANN, now_ms=NOW_MS + 1)[0].views["visits"].status is Status.PRESENT


def test_windows_are_finished_at_the_time_of_the_read(harness: ReadHarness) -> None:
    harness.advance_watermark(folded_to_ms=NOW_MS + 2 * 86_400_000)
    assert harness.read(ANN, now_ms=NOW_MS + 60_000)[0].features["visits_count_1m"] == 1
    assert harness.read(ANN, now_ms=NOW_MS + 61_000)[0].features["visits_count_1m"] == 0
    assert harness.read(ANN, now_ms=NOW_MS + 2 * 86_400_000)[0].features["visits_count_1d"] == 0


def test_a_view_that_does_not_serve_the_purpose_is_withheld(harness: ReadHarness) -> None:
    answer = harness.read(ANN, purpose="sales")[0]
    assert answer.views["tastes"].reason == "no_consent"
    answer = harness.read(ANN)[0]
    assert (answer.views["tastes"].reason, answer.features["taste"]) == ("purpose_not_served", None)


def test_each_subject_is_answered_under_its_own_permission(harness: ReadHarness) -> None:
    harness.permit(BOB, allowed=False)
    bob, ann, nobody = harness.read(BOB, ANN, "c" * 32)
    assert [a.views["visits"].status for a in (bob, ann, nobody)] == [
        Status.WITHHELD,
        Status.PRESENT,
        Status.WITHHELD,
    ]
    assert [a.views["visits"].reason for a in (bob, nobody)] == ["refused", "no_permission"]
    assert bob.features == nobody.features == {"visits_count_1m": None, "visits_count_1d": None, "taste": None}


def test_paused_purpose_is_withheld_with_its_reason(harness: ReadHarness) -> None:
    harness.store.publish_permissions({ANN: Permission(1, 2, {"service": PurposePermission(False, 1, 0, paused=True)})})
    visits_ = harness.read(ANN)[0].views["visits"]
    assert (visits_.status, visits_.reason, visits_.start) == (Status.WITHHELD, "paused", None)


def test_start_is_not_before_the_counting_is_complete(harness: ReadHarness) -> None:
    imported = PurposePermission(True, 1, SINCE_MS, complete_from_ms=NOW_MS - 1_000)
    harness.store.publish_permissions({ANN: Permission(1, 2, {"service": imported})})
    assert harness.read(ANN)[0].views["visits"].start == "2023-11-14T22:13:19.000Z"


def test_another_purpose_needs_its_own_consent(harness: ReadHarness) -> None:
    answer = harness.read(ANN, purpose="sales")[0]
    assert {view.reason for view in answer.views.values()} == {"no_consent"}


def test_values_of_an_earlier_grant_are_missing(harness: ReadHarness) -> None:
    harness.store._permissions[ANN] = Permission(
        1, 2, {"service": PurposePermission(True, 2, SINCE_MS)}
    )  # without dropping fields
    answer = harness.read(ANN)[0]
    assert answer.views["visits"].status is Status.MISSING
    assert answer.features["visits_count_1d"] == 0


def test_an_unvouched_run_is_withheld(harness: ReadHarness) -> None:
    harness.clock_s = 2.0
    assert harness.read(ANN)[0].views["visits"].reason == "store_unvouched"
    vouch(harness.store, expiry_ms=2_000)
    assert harness.read(ANN)[0].views["visits"].status is Status.PRESENT
    harness.store.restart()
    assert harness.read(ANN)[0].features["visits_count_1d"] is None


def test_values_of_a_lagging_partition_are_stale(harness: ReadHarness) -> None:
    answer = harness.read(ANN, now_ms=NOW_MS + 60_001)[0]
    assert answer.views["visits"].status is Status.STALE
    assert answer.views["visits"].reason == "older than the view's 60 s"
    assert answer.features["visits_count_1d"] == 3


def test_values_of_a_restarted_store_are_stale(harness: ReadHarness) -> None:
    harness.store.restart()
    vouch(harness.store, expiry_ms=2_000)
    answer = harness.read(ANN)[0]
    assert answer.views["visits"].status is Status.STALE
    assert answer.views["visits"].reason == REPUBLISHING
    assert answer.features["visits_count_1d"] == 3


def test_no_events_is_missing_and_no_watermark_is_stale(harness: ReadHarness) -> None:
    harness.permit(BOB)
    stale = harness.read(BOB)[0]
    assert (stale.views["visits"].status, stale.features["visits_count_1d"]) == (Status.STALE, None)
    harness.advance_watermark(BOB)
    missing = harness.read(BOB)[0]
    assert (missing.views["visits"].status, missing.features["visits_count_1d"]) == (Status.MISSING, 0)
    older = harness.read(BOB, now_ms=NOW_MS + 60_001)[0]
    assert (older.views["visits"].status, older.features["visits_count_1d"]) == (Status.STALE, None)


def test_requested_defaults_are_marked_where_nothing_is_known(harness: ReadHarness) -> None:
    harness.permit(BOB)
    harness.permit("c" * 32, allowed=False)
    ann, stale, refused = harness.read(ANN, BOB, "c" * 32, with_defaults=True)
    assert stale.features == refused.features == {"visits_count_1m": 0, "visits_count_1d": 0, "taste": None}
    marks = [[view.defaults for view in answer.views.values()] for answer in (ann, stale, refused)]
    assert marks == [[UNSET, True], [True, True], [True, True]]
    behind = harness.read(ANN, now_ms=NOW_MS - 301_000, with_defaults=True)[0]
    assert (behind.features["visits_count_1d"], behind.views["visits"].defaults) == (0, True)
    harness.advance_watermark(BOB)
    assert harness.read(BOB, with_defaults=True)[0].views["visits"].defaults is UNSET, "missing is known"


def test_values_from_before_the_coverage_start_are_missing(harness: ReadHarness) -> None:
    harness.store._watermarks.clear()
    harness.advance_watermark(coverage_start_ms=NOW_MS)
    answer = harness.read(ANN)[0]
    assert answer.views["visits"].status is Status.MISSING
    assert answer.views["visits"].start == "2023-11-14T22:13:20.000Z"


def test_only_chosen_features_are_answered(harness: ReadHarness) -> None:
    answer = harness.read(ANN, features=["visits_count_1d"])[0]
    assert answer.features == {"visits_count_1d": 3}
    assert list(answer.views) == ["visits"]


def test_a_read_long_before_the_newest_event_is_stale(harness: ReadHarness) -> None:
    answer = harness.read(ANN, now_ms=NOW_MS - 301_000)[0]
    assert answer.features["visits_count_1d"] is None
    assert answer.views["visits"].status is Status.STALE
    assert answer.views["visits"].reason.startswith("view visits has events of more than 5 minutes after")


def test_an_unreachable_store_raises(harness: ReadHarness) -> None:
    harness.store.available = False
    with pytest.raises(StoreUnavailable):
        harness.read(ANN)


@given(
    st.none() | st.tuples(st.booleans(), st.integers(1, 3), st.integers(-5, 5)),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from(["service", "sales", "other"]),
)
def test_no_value_is_answered_without_its_own_grant(
    held: tuple[bool, int, int] | None, vouched: bool, stored_grant_id: int, purpose_read: str
) -> None:
    harness = ReadHarness()
    tiles = Tiles(EPOCH_S, [EPOCH_S], [[1]])
    aggregates = ViewCodec(visits).encode(layout_id_of(visits.fingerprint, 0), tiles).suffix_aggregates
    for purpose in ("service", "sales"):
        harness.store._fields.setdefault(ANN, {})[f"visits/{purpose}"] = pack_field(1, 0, stored_grant_id, aggregates)
    harness.advance_watermark()
    until_ms = 0
    if held is not None:
        allowed, grant, ends = held
        until_ms = NOW_MS + ends if ends else 0
        harness.store._permissions[ANN] = Permission(1, 1, {"service": PurposePermission(allowed, grant, 0, until_ms)})
    harness.clock_s = 0 if vouched else 3
    answer = harness.read(ANN, purpose=purpose_read)[0]
    may = vouched and purpose_read == "service" and held is not None and held[0] and (not until_ms or until_ms > NOW_MS)
    expected = None if not may else 1 if held[1] == stored_grant_id else 0
    assert answer.features["visits_count_1d"] == expected
    assert (answer.views["visits"].status is Status.WITHHELD) == (expected is None)


@pytest.mark.parametrize("raw", [b"short", b"cut after its header"], ids=["without a header", "without values"])
def test_unreadable_values_make_one_view_of_one_subject_stale(harness: ReadHarness, raw: bytes) -> None:
    for subject in (ANN, BOB):
        harness.permit(subject)
        harness.write(subject)
        harness.advance_watermark(subject)
    name = field_name("visits", "service")
    whole = harness.store._fields[ANN][name]
    harness.store._fields[ANN][name] = raw if raw == b"short" else whole[:VALUES_START] + whole[VALUES_START:][:4]
    ann, bob = harness.read(ANN, BOB)
    assert (ann.views["visits"].status, bob.views["visits"].status) == (Status.STALE, Status.PRESENT)
    assert ann.views["visits"].reason == UNREADABLE
    assert ann.features["visits_count_1m"] is None
    assert harness.reader.read(SERVICE, "service", [ANN], now_ms=NOW_MS, timeout_ms=100, as_of_ms=NOW_MS)
