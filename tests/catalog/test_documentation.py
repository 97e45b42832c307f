"""docs/features.md can be believed: its code runs, its feature is sound, and it names every aggregation."""

import re
from typing import Any

import pytest

from featurestore import aggregations
from featurestore.catalog import registry
from featurestore.catalog.purposes import PURPOSES
from featurestore.config import ROOT
from featurestore.definitions import Registry

PAGE = (ROOT / "docs" / "features.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the page's code leaves behind, run from top to bottom."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in BLOCKS:
        exec(compile(block, "docs/features.md", "exec"), names)
    return names


def test_the_first_example_has_ten_lines() -> None:
    assert len(BLOCKS[0].splitlines()) <= 10


def test_the_examples_answer_what_the_page_says(names: dict[str, Any]) -> None:
    assert [feature.name for feature in names["patience"].features] == list(names["answer"])
    for feature in names["patience"].features:
        assert f"`{feature.name}`" in PAGE


def test_the_examples_fit_into_the_catalog(names: dict[str, Any]) -> None:
    added = Registry([*registry.sources.values(), *registry.views.values(), names["patience"], names["reviews"]])
    assert added.check([purpose.name for purpose in PURPOSES], added.fingerprints({})) == []


@pytest.mark.parametrize("aggregation", aggregations.every(), ids=lambda aggregation: aggregation.__name__)
def test_every_aggregation_is_named(aggregation: type[aggregations.Aggregation]) -> None:
    assert f"`{aggregation.__name__}`" in PAGE
