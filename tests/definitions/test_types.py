"""Types and units of features: every value has those of its definition."""

from typing import Annotated, Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.aggregations import (
    Aggregation,
    Answers,
    Count,
    DecayedCount,
    DistinctCount,
    Last,
    LastN,
    Max,
    Mean,
    StdDev,
    Sum,
    TimeSinceLast,
    TopK,
    Variance,
    all_aggregations,
)
from featurestore.catalog import registry
from featurestore.definitions import DefinitionError, EventSource, FeatureView, Label, Money, Personal, unit
from featurestore.definitions.description import features_schema, value_schema
from tests.kit.aggregations import NOW_MS, events_for, examples, fold


class Trip(msgspec.Struct):
    fare: Annotated[Money, unit("EUR")]
    taken_s: Personal[Annotated[int, msgspec.Meta(ge=0), unit("s")]] | None = None
    riders: int | None = None
    line: Label | None = None
    late: bool | None = None


trips = EventSource("trips", data=Trip, type="test.trip")


def test_unit_of_a_field_is_its_own_or_1() -> None:
    assert {name: field.unit for name, field in trips.fields.items()} == {
        "fare": "EUR", "taken_s": "s", "riders": "1", "line": None, "late": None,
    }  # fmt: skip
    assert trips.fields["taken_s"].personal


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (Count(), ("integer", None, "1", False)),
        (Sum("fare"), ("number", None, "EUR", False)),
        (Sum("riders"), ("integer", None, "1", False)),
        (Max("taken_s"), ("integer", None, "s", True)),
        (Mean("riders"), ("number", None, "1", True)),
        (StdDev("fare"), ("number", None, "EUR", True)),
        (Variance("fare"), ("number", None, "EUR2", True)),
        (Variance("riders"), ("number", None, "1", True)),
        (TimeSinceLast("line"), ("number", None, "s", True)),
        (DistinctCount("line"), ("integer", None, "1", False)),
        (DecayedCount(half_life="1h"), ("number", None, "1", False)),
        (Last("late"), ("boolean", None, None, True)),
        (TopK("line"), ("list", "string", None, False)),
        (LastN("fare"), ("list", "number", "EUR", False)),
    ],
    ids=lambda value: value.name if isinstance(value, Aggregation) else "",
)
def test_type_and_unit_follow_from_aggregation_and_field(aggregation: Aggregation, expected: tuple[Any, ...]) -> None:
    view = FeatureView("ride", source=trips, purposes={"service"}, features=[aggregation.over("1h")])
    (feature,) = view.features
    assert (*view.type_of(feature), feature.default is None) == expected


EXAMPLES = [aggregation for kind in all_aggregations() for aggregation in examples(kind)]


def test_aggregations_cover_all_kinds_of_answers() -> None:
    assert {aggregation.answers for aggregation in EXAMPLES} == set(Answers)


@pytest.mark.parametrize("aggregation", EXAMPLES, ids=lambda a: f"{type(a).__name__} {a.name} {a.kind}")
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_answer_fits_its_type(aggregation: Aggregation, data: st.DataObject) -> None:
    value = aggregation.answer(fold(aggregation, data.draw(events_for(aggregation))), NOW_MS)
    assert (value is None and aggregation.empty is None) or aggregation.answer_type().fits(value)
    assert aggregation.empty is None or aggregation.answer_type().fits(aggregation.empty)


@pytest.mark.parametrize(
    ("windowed", "default"),
    [
        (Last("late").over("1h"), 0),
        (Last("riders").over("1h"), True),
        (Last("riders").over("1h"), 1.5),
        (Last("line").over("1h"), 7),
        (Mean("fare").over("1h"), "none"),
        (Mean("fare").over("1h"), float("nan")),
    ],
)
def test_default_of_another_type_is_refused(windowed: Any, default: Any) -> None:
    with pytest.raises(DefinitionError, match="let its default be one"):
        FeatureView(
            "ride",
            source=trips,
            purposes={"service"},
            features=[windowed],
            defaults={f"ride_{windowed.aggregation.field}_{windowed.aggregation.name}_1h": default},
        )


@pytest.mark.parametrize("service", registry.services.values(), ids=lambda service: service.name)
def test_schema_of_a_service_accepts_its_defaults(service: Any) -> None:
    schema = features_schema(service)
    assert jsonschema_rs.meta.is_valid(schema)
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid(service.defaults())
    assert validator.is_valid(dict.fromkeys(service.defaults())), "withheld"
    name = next(iter(service.defaults()))
    assert not validator.is_valid(service.defaults() | {name: {"of": "no such type"}})


def test_schema_of_a_list_and_of_a_nullable_number() -> None:
    mood = registry.views["mood"]
    assert value_schema(mood, mood.features[0]) == {
        "type": ["array", "null"],
        "items": {"type": "number"},
        "description": "LastN n=5 of sentiment where author is customer over 7 d",
        "default": [],
        "x-unit": "1",
    }
    assert value_schema(mood, mood.features[1])["type"] == ["number", "null"]
