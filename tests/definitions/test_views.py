"""Feature views: invalid ones are refused with the line to change; names, defaults, filters, fingerprints."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from featurestore.aggregations import (
    Count,
    Last,
    LastN,
    Mean,
    Quantile,
    SessionCount,
    Sum,
    TopK,
    WindowedAggregation,
)
from featurestore.definitions import DefinitionError, EventSource, FeatureService, FeatureView
from featurestore.definitions.bounds import VIEW_BYTES
from tests.definitions.sample_source import purchases


class Nothing(msgspec.Struct):
    """Data without a field."""


def view(*features: WindowedAggregation, **options: Any) -> FeatureView:
    return FeatureView("spend", **{"source": purchases, "purposes": {"service"}, "features": features} | options)


def message_of_invalid_feature(make: Callable[[], WindowedAggregation]) -> str:
    """The message of a view whose one feature is wrong; it names the line that made the feature."""
    with pytest.raises(DefinitionError) as refused:
        view(make())
    assert refused.value.defined_at.endswith(f"test_views.py:{make.__code__.co_firstlineno}")
    assert str(refused.value) == f"{refused.value.defined_at}: {refused.value.message}"
    return refused.value.message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sum("amuont").over("1h"),
         "view spend: source purchases has no field 'amuont'; it has "
         "kind, pieces, amount, weight_kg, gift, category, note"),
        (lambda: Count(where={"knid": "returned"}).over("1h"), "view spend: source purchases has no field 'knid'"),
        (lambda: Count(where={"kind": "lost"}).over("1h"),
         "view spend: where: kind is never 'lost'; it is one of 'completed', 'returned'"),
        (lambda: Count(where={"kind": ["returned", "lost"]}).over("1h"), "view spend: where: kind is never 'lost'"),
        (lambda: Count(where={"kind": []}).over("1h"), "view spend: where: kind is given no value to have"),
        (lambda: Count(where={"pieces": "3"}).over("1h"), "view spend: where: pieces is never '3'; it is integer"),
        (lambda: Count(where={"pieces": True}).over("1h"), "view spend: where: pieces is never True; it is integer"),
        (lambda: Count(where={"gift": 1}).over("1h"), "view spend: where: gift is never 1; it is boolean"),
        (lambda: Count(where={"category": 1}).over("1h"), "view spend: where: category is never 1; it is text"),
        (lambda: Count(where={"amount": "0.00001"}).over("1h"),
         "view spend: where: amount is never '0.00001': number has more than 4 decimals"),
        (lambda: Count(where={"amount": "x"}).over("1h"), "view spend: where: amount is never 'x': "),
        (lambda: Count(where={"weight_kg": float("nan")}).over("1h"), "view spend: where: weight_kg is never nan: "),
        (lambda: Sum("category").over("1h"), "view spend: sum takes float, integer, scaled; category is text"),
        (lambda: Mean().over("1h"), "view spend: mean needs a field"),
        (lambda: Count().over("30s"), 'view spend: window "30s" is impossible: take 1 minute to 400 days'),
        (lambda: Count().over("401d"), 'view spend: window "401d" is impossible: take 1 minute to 400 days'),
        (lambda: Count().over("1.5h"), "view spend: '1.5h' is no duration"),
        (lambda: Count().over("1h", "1h"), "view spend: feature spend_count_1h is listed twice or its name is"),
        (lambda: Count().over("1h", name="Grüße"), "view spend: feature Grüße is listed twice or its name is not"),
        (lambda: Sum("amount").over("1h", default=-1), "view spend: feature spend_amount_sum_1h answers 0 when noth"),
        (lambda: Count().over("1h", default=0),
         "view spend: feature spend_count_1h answers 0 when nothing was counted; "
         "a default is only for one that would answer null: leave it out"),
        (lambda: TopK("category").over("1h", default="none"),
         "view spend: feature spend_category_top_3_1h answers [] when"),
        (lambda: Count().over(), "view spend: count: .over() needs a window, or lifetime"),
    ],
)  # fmt: skip
def test_invalid_feature_names_its_own_line(make: Callable[[], WindowedAggregation], message: str) -> None:
    assert message_of_invalid_feature(make).startswith(message)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: view(SessionCount().over("30d"), Count().over("lifetime")), None),
        (lambda: view(SessionCount().over("lifetime")),
         "view spend: sessions has no bound over lifetime: take windows of up to 400 days"),
        (lambda: view(SessionCount(gap="1m").over("365d")),
         "view spend: sessions: one state may take 25,959 bytes, at most 4,096: give the field a smaller max_length, "),
        (lambda: view(LastN("note", n=8).over("1d")), "view spend: last_8 of note: one state may take 4,267 bytes"),
        (lambda: view(LastN("pieces", n=100).over("1d")), None),
        (lambda: view(*[Sum("amount", where={"pieces": n}).over("1m", "1h", "1d", "30d", name=f"sum_{n}")
                        for n in range(20)]), "tiles of a customer may take"),
    ],
)  # fmt: skip
def test_view_whose_bounds_can_not_hold_is_refused(make: Callable[[], FeatureView], message: str | None) -> None:
    if message is None:
        assert make().bounds.view_bytes <= VIEW_BYTES
    else:
        with pytest.raises(DefinitionError) as refused:
            make()
        assert message in str(refused.value.message)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: view(), "view spend: list at least one feature"),
        (lambda: view(Count()), "view spend: Count("),  # type: ignore[arg-type]
        (lambda: view(Count().over("1h"), purposes=()), "view spend: name at least one purpose"),
        (lambda: view(Count().over("1h"), max_age_s=0), "view spend: max_age_s is the seconds"),
        (lambda: view(Count().over("1h"), defaults={"nope": 1}), "view spend: defaults name no feature of the"),
        (lambda: view(Sum("amount").over("1h"), defaults={"spend_amount_sum_1h": -1}),
         "view spend: feature spend_amount_sum_1h answers 0 when nothing was counted; a default is only"),
        (lambda: FeatureView("Spend", source=purchases, purposes={"service"}, features=[Count().over("1h")]),
         "view Spend: a name has lower-case letters"),
        (lambda: FeatureService("chat", [], purpose="service"), "service chat: give it a lower-case name and at least"),
        (lambda: FeatureService("chat", [view(Count().over("1h"))] * 2, purpose="service"),
         "service chat: a view is listed twice"),
        (lambda: FeatureService("chat", [view(Count().over("1h"))], purpose="sales"),
         "service chat: none of its views serves the purpose sales"),
        (lambda: EventSource("empty", data=Nothing, type="x"), "source empty: Nothing has no field that can be aggreg"),
    ],
)  # fmt: skip
def test_invalid_definition_names_its_file(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        make()
    assert refused.value.defined_at.rpartition(":")[0].endswith("tests/definitions/test_views.py")
    assert refused.value.message.startswith(message)


def test_feature_name_has_view_field_aggregation_and_window() -> None:
    features = view(
        Sum("amount").over("1h", "30d"),
        Count(where={"kind": "returned"}).over("1h", "90d", name="returns"),
        Last("category").over("lifetime", name="favourite"),
        Quantile("amount", q=0.95).over("1d"),
    ).features
    assert [feature.name for feature in features] == [
        "spend_amount_sum_1h", "spend_amount_sum_30d", "returns_1h", "returns_90d", "favourite", "spend_amount_p95_1d",
    ]  # fmt: skip


def test_windows_of_one_aggregation_share_its_state() -> None:
    spend = view(Sum("amount").over("1h"), Sum("amount").over("30d"), Sum("pieces").over("1h"))
    assert [feature.aggregation_index for feature in spend.features] == [0, 0, 1]


def test_default_is_of_the_feature_the_view_or_the_aggregation() -> None:
    features = view(
        Count().over("1h"),
        Last("category").over("1h", name="last", default="none"),
        Last("note").over("1h", name="note"),
        defaults={"note": "-"},
    ).features
    assert [feature.default for feature in features] == [0, "none", "-"]


def test_filter_values_are_converted_like_those_of_events() -> None:
    (counted,) = view(Count(where={"amount": ["12.5", 3, Decimal("0.0001")]}).over("1h")).aggregations
    assert counted.filters == ((purchases.positions["amount"], frozenset({125_000, 30_000, 1})),)


def test_single_purpose_can_be_a_string() -> None:
    assert view(Count().over("1h"), purposes="service").purposes == {"service"}


class TestFingerprint:
    """A fingerprint changes if, and only if, stored state or its coverage would change."""

    plain = staticmethod(lambda **options: view(Sum("amount").over("1h"), **options).fingerprint)

    @pytest.mark.parametrize("options", [{"description": "x"}, {"owner": "x"}, {"max_age_s": 5}])
    def test_description_owner_and_age_do_not_change_it(self, options: dict[str, Any]) -> None:
        assert self.plain() == self.plain(**options)

    def test_defaults_do_not_change_it(self) -> None:
        assert view(Last("note").over("1h")).fingerprint == view(Last("note").over("1h", default="-")).fingerprint

    def test_feature_names_do_not_change_it(self) -> None:
        assert self.plain() == view(Sum("amount").over("1h", name="other")).fingerprint

    @pytest.mark.parametrize(
        "other",
        [
            view(Sum("amount").over("2h")),
            view(Sum("pieces").over("1h")),
            view(Mean("amount").over("1h")),
            view(Sum("amount", where={"kind": "returned"}).over("1h")),
            view(Sum("amount").over("1h"), Count().over("1h")),
            view(Sum("amount").over("1h"), version=2),
            view(Sum("amount").over("1h"), purposes={"service", "fraud"}),
            FeatureView("other", source=purchases, purposes={"service"}, features=[Sum("amount").over("1h")]),
            view(Quantile("amount", q=0.5).over("1h")),
            view(Quantile("amount", q=0.9).over("1h")),
        ],
    )
    def test_stored_state_changes_it(self, other: FeatureView) -> None:
        assert self.plain() != other.fingerprint
