"""Every aggregation: its file, name and error; invalid settings and durations."""

import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import featurestore.aggregations as aggregations
from featurestore.aggregations import (
    Aggregation,
    Count,
    DecayedCount,
    DecayedSum,
    Kind,
    LastN,
    Mean,
    Quantile,
    SessionCount,
    SessionMeanDuration,
    Sum,
    TopK,
    Variance,
    all_aggregations,
    seconds,
)
from tests.kit.aggregations import NOW_MS, START_MS, Event, examples, fold

for_all = pytest.mark.parametrize("kind", all_aggregations(), ids=lambda kind: kind.__name__)


@for_all
def test_aggregation_is_exported(kind: type[Aggregation]) -> None:
    assert kind.__name__ in aggregations.__all__, f"import {kind.__name__} in featurestore/aggregations/__init__.py"
    assert getattr(aggregations, kind.__name__) is kind


@for_all
def test_aggregation_has_its_file_and_doctest(kind: type[Aggregation]) -> None:
    module = importlib.import_module(kind.__module__)
    assert [c for c in all_aggregations() if c.__module__ == kind.__module__] == [kind]
    assert module.__doc__
    assert module.__doc__.startswith(f"{kind.__name__}: ")
    assert ">>>" in (kind.__doc__ or "")


@for_all
def test_name_is_valid_in_feature_names(kind: type[Aggregation]) -> None:
    names = {}
    for aggregation in examples(kind):
        assert re.fullmatch("[a-z][a-z0-9_]*", aggregation.name)
        parameters = dataclasses.astuple(dataclasses.replace(aggregation, where={}, field=None, kind=None, places=0))
        names.setdefault(aggregation.name, parameters)
    assert len(names) == len({str(parameters) for parameters in names.values()})


def test_names_of_aggregations_differ() -> None:
    names = [name for kind in all_aggregations() for name in {aggregation.name for aggregation in examples(kind)}]
    assert len(names) == len(set(names))


def test_new_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "newest.py").write_text(
        "from dataclasses import dataclass\n"
        "from featurestore.aggregations.count import Count\n"
        "@dataclass(frozen=True)\n"
        "class Newest(Count):\n"
        "    name = 'newest'\n"
    )
    program = (
        f"import featurestore.aggregations as aggregations; aggregations.__path__.append({str(tmp_path)!r}); "
        "print(*[kind.__name__ for kind in aggregations.all_aggregations()])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert sorted([*(kind.__name__ for kind in all_aggregations()), "Newest"]) == found


@pytest.mark.parametrize("kind", [Kind.SCALED, Kind.FLOAT])
def test_mean_of_decimals_is_rounded_once(kind: Kind) -> None:
    mean = Mean("amount").bind(kind, 2)
    values = [10, 20, 30] if kind is Kind.SCALED else [0.1, 0.2, 0.3]
    state = fold(mean, [Event(value, START_MS, number) for number, value in enumerate(values)])
    assert mean.answer(state, NOW_MS) == 0.2


def test_sums_and_means_have_no_error() -> None:
    assert {one.error for kind in (Count, Sum, Mean, Variance) for one in examples(kind)} == {""}


def test_bind_keeps_parameters() -> None:
    bound = Quantile("amount", q=0.9, where={"kind": "web"}).bind(Kind.SCALED, 4)
    assert (bound.q, bound.places, bound.where) == (0.9, 4, {"kind": "web"})
    assert {field.name for field in dataclasses.fields(DecayedSum)} >= {"half_life"}


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: LastN("mood", n=0), "take n=1 to n=100"),
        (lambda: LastN("mood", n=101), "or Last for one alone"),
        (lambda: TopK("category", k=33), "take k=1 to k=32"),
        (lambda: Quantile("amount", q=95), "such as 0.5 or 0.95"),
        (lambda: Quantile("amount", q=0.0), "or Min or Max"),
        (lambda: DecayedCount(half_life="week"), 'such as "90s"'),
        (lambda: DecayedSum("amount", half_life="0d"), "write a whole number"),
        (lambda: SessionCount(gap="30 m"), "'30 m' is no duration"),
        (lambda: SessionMeanDuration(gap=1800), "1800 is no duration"),
    ],
)
def test_invalid_setting_is_refused_with_valid_ones(make: object, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        make()


@pytest.mark.parametrize("make", [lambda: DecayedCount(), lambda: DecayedSum("a"), lambda: Quantile("a")])
def test_half_life_and_quantile_have_no_default(make: object) -> None:
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
        make()


def test_duration_in_seconds() -> None:
    assert [seconds(text) for text in ("1s", "90s", "30m", "12h", "400d")] == [1, 90, 1800, 43_200, 34_560_000]


INVALID_DURATIONS = ["", "m", "0s", "-1m", "1.5h", "30M", "1w", " 1m", "1m\n", "1m30s", "٣m", "9" * 20 + "d"]


@pytest.mark.parametrize("text", INVALID_DURATIONS)
def test_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a whole number and s, m, h or d"):
        seconds(text)
