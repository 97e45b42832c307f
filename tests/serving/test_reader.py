"""The reader: every promised feature, what each view is worth, and nothing without permission."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.aggregations import Count, Last
from featurestore.definitions import FeatureService, FeatureView
from featurestore.identity import partition_of
from featurestore.permission import Permission, PurposePermission
from featurestore.serving.answer import Answer, Status
from featurestore.serving.reader import FeatureReader
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import FieldWrite, StoreUnavailable, Watermark
from featurestore.tiles.record import layout_id_of
from featurestore.tiles.stored_field import field_name, pack_field
from featurestore.tiles.view_codec import Tiles, ViewCodec
from tests.kit.purchases import EPOCH_S, purchases

ANN, BOB = "a" * 32, "b" * 32
NOW_MS = EPOCH_S * 1000
SINCE_MS = NOW_MS - 3_600_000
visits = FeatureView("visits", source=purchases, purposes={"service", "sales"}, features=[Count().over("1m", "1d")])
tastes = FeatureView("tastes", source=purchases, purposes={"sales"}, features=[Last("item").over("1d", name="taste")])
SERVICE = FeatureService("chat", [visits, tastes], purpose="service")


class Shop:
    def __init__(self) -> None:
        self.clock_s = 0.0
        self.store = MemoryStore(lambda: self.clock_s)
        self.reader = FeatureReader(self.store, 8)
        self.store.write_claim(self.store.run(), 1, 0)
        self.store.vouch(self.store.run(), 2_000)

    def permit(self, subject: str = ANN, *, purpose: str = "service", allowed: bool = True, grant: int = 1) -> None:
        self.store.publish_permissions(
            {subject: Permission(1, 1, {purpose: PurposePermission(allowed, grant, SINCE_MS)})}
        )

    def write(
        self, subject: str = ANN, *, view: FeatureView = visits, purpose: str = "service", coverage_start_ms: int = 0
    ) -> None:
        tiles = Tiles(EPOCH_S, [EPOCH_S - 60, EPOCH_S], [[2, 1]])
        totals = ViewCodec(view).pack(layout_id_of(view.fingerprint, coverage_start_ms), tiles).suffix_aggregates
        value = pack_field(1, 0, 1, totals)
        self.store.write([FieldWrite(subject, field_name(view.name, purpose), purpose, value)], NOW_MS)

    def fill(self) -> str:
        return self.store.read([], [], [], 100).nodes[0].incarnation

    def mark(self, subject: str = ANN, *, folded_to_ms: int = NOW_MS, coverage_start_ms: int = 0) -> None:
        coverage_starts_ms = dict.fromkeys((visits.fingerprint, tastes.fingerprint), coverage_start_ms)
        self.store.advance_watermark(
            "purchases", partition_of(subject, 8), Watermark(1, 0, folded_to_ms, coverage_starts_ms, self.fill())
        )

    def read(self, *subjects: str, purpose: str = "service", now_ms: int = NOW_MS, features=None) -> list[Answer]:
        return self.reader.read(SERVICE, purpose, subjects, now_ms=now_ms, timeout_ms=100, features=features)


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.permit()
    shop.write()
    shop.mark()
    return shop


def test_values_come_with_status_start_and_age(shop: Shop) -> None:
    (answer,) = shop.read(ANN, now_ms=NOW_MS + 1_500)
    assert answer.features == {"visits_count_1m": 1, "visits_count_1d": 3, "taste": None}
    visits_ = answer.views["visits"]
    assert (visits_.status, visits_.start, visits_.age_s) == (Status.PRESENT, "2023-11-14T21:13:20.000Z", 1.5)
    assert answer.at == "2023-11-14T22:13:21.500Z"


def test_windows_are_finished_at_the_time_of_the_question(shop: Shop) -> None:
    shop.mark(folded_to_ms=NOW_MS + 2 * 86_400_000)
    assert shop.read(ANN, now_ms=NOW_MS + 60_000)[0].features["visits_count_1m"] == 1
    assert shop.read(ANN, now_ms=NOW_MS + 61_000)[0].features["visits_count_1m"] == 0
    assert shop.read(ANN, now_ms=NOW_MS + 2 * 86_400_000)[0].features["visits_count_1d"] == 0


def test_a_view_that_does_not_serve_the_purpose_is_withheld(shop: Shop) -> None:
    assert shop.read(ANN)[0].views["tastes"].reason == "purpose_not_served"


def test_subjects_are_answered_in_order_each_under_its_own_permission(shop: Shop) -> None:
    shop.permit(BOB, allowed=False)
    bob, ann, nobody = shop.read(BOB, ANN, "c" * 32)
    assert [a.views["visits"].status for a in (bob, ann, nobody)] == [
        Status.WITHHELD,
        Status.PRESENT,
        Status.WITHHELD,
    ]
    assert [a.views["visits"].reason for a in (bob, nobody)] == ["refused", "no_permission"]
    assert bob.features == nobody.features == {"visits_count_1m": 0, "visits_count_1d": 0, "taste": None}


def test_another_purpose_needs_its_own_consent(shop: Shop) -> None:
    answer = shop.read(ANN, purpose="sales")[0]
    assert {view.reason for view in answer.views.values()} == {"no_consent"}


def test_what_an_earlier_grant_left_is_not_there(shop: Shop) -> None:
    shop.store._permissions[ANN] = Permission(
        1, 2, {"service": PurposePermission(True, 2, SINCE_MS)}
    )  # without the sweep
    answer = shop.read(ANN)[0]
    assert answer.views["visits"].status is Status.MISSING
    assert answer.features["visits_count_1d"] == 0


def test_nothing_is_given_from_a_run_that_nobody_vouches_for(shop: Shop) -> None:
    shop.clock_s = 2.0
    assert shop.read(ANN)[0].views["visits"].reason == "store_unvouched"
    shop.store.vouch(shop.store.run(), 2_000)
    assert shop.read(ANN)[0].views["visits"].status is Status.PRESENT
    shop.store.restart()
    assert shop.read(ANN)[0].features["visits_count_1d"] == 0


def test_a_lagging_partition_says_so_and_still_answers(shop: Shop) -> None:
    answer = shop.read(ANN, now_ms=NOW_MS + 60_001)[0]
    assert answer.views["visits"].status is Status.STALE
    assert answer.views["visits"].reason == "older than the view's 60 s"
    assert answer.features["visits_count_1d"] == 3


def test_a_restarted_store_says_so_and_still_answers(shop: Shop) -> None:
    shop.store.restart()
    shop.store.write_claim(shop.store.run(), 1, 0)
    shop.store.vouch(shop.store.run(), 2_000)
    answer = shop.read(ANN)[0]
    assert answer.views["visits"].status is Status.STALE
    assert answer.views["visits"].reason.startswith("the store was emptied or restarted")
    assert answer.features["visits_count_1d"] == 3


def test_a_customer_without_events_is_missing_and_a_partition_without_mark_is_stale(shop: Shop) -> None:
    shop.permit(BOB)
    assert shop.read(BOB)[0].views["visits"].status is Status.STALE
    shop.mark(BOB)
    assert shop.read(BOB)[0].views["visits"].status is Status.MISSING


def test_a_definition_that_changed_and_changed_back_is_empty(shop: Shop) -> None:
    shop.store._watermarks.clear()
    shop.mark(coverage_start_ms=NOW_MS)
    answer = shop.read(ANN)[0]
    assert answer.views["visits"].status is Status.MISSING
    assert answer.views["visits"].start == "2023-11-14T22:13:20.000Z"


def test_a_chosen_subset_is_answered_alone(shop: Shop) -> None:
    answer = shop.read(ANN, features=["visits_count_1d"])[0]
    assert answer.features == {"visits_count_1d": 3}
    assert list(answer.views) == ["visits"]


def test_a_question_for_an_earlier_time_is_not_answered_and_says_so(shop: Shop) -> None:
    answer = shop.read(ANN, now_ms=NOW_MS - 301_000)[0]
    assert answer.features["visits_count_1d"] == 0
    assert answer.views["visits"].status is Status.STALE
    assert answer.views["visits"].reason.startswith("view visits has events of more than 5 minutes after")


def test_a_store_that_is_away_is_an_error(shop: Shop) -> None:
    shop.store.available = False
    with pytest.raises(StoreUnavailable):
        shop.read(ANN)


@given(
    st.none() | st.tuples(st.booleans(), st.integers(1, 3), st.integers(-5, 5)),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from(["service", "sales", "other"]),
)
def test_no_value_leaves_without_a_grant_that_is_its_own(
    held: tuple[bool, int, int] | None, vouched: bool, stamped: int, asked: str
) -> None:
    shop = Shop()
    totals = (
        ViewCodec(visits).pack(layout_id_of(visits.fingerprint, 0), Tiles(EPOCH_S, [EPOCH_S], [[1]])).suffix_aggregates
    )
    for purpose in ("service", "sales"):
        shop.store._fields.setdefault(ANN, {})[f"visits/{purpose}"] = pack_field(1, 0, stamped, totals)
    shop.mark()
    until_ms = 0
    if held is not None:
        allowed, grant, ends = held
        until_ms = NOW_MS + ends if ends else 0
        shop.store._permissions[ANN] = Permission(1, 1, {"service": PurposePermission(allowed, grant, 0, until_ms)})
    shop.clock_s = 0 if vouched else 3
    seen = shop.read(ANN, purpose=asked)[0].features["visits_count_1d"] == 1
    entitled = held is not None and held[0] and held[1] == stamped and (not until_ms or until_ms > NOW_MS)
    assert seen == (vouched and asked == "service" and entitled)
