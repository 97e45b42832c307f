"""docs/features.md: its code runs, its views pass the registry's checks, and it names every aggregation."""

from pathlib import Path
from typing import Any

import pytest

from featurestore import aggregations
from featurestore.catalog import registry
from featurestore.catalog.purposes import PURPOSES
from featurestore.config import ROOT
from featurestore.definitions import Registry
from tests.docs.pages import Block, blocks, run

FILE = ROOT / "docs" / "features.md"
PAGE = FILE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """The names that the page's code defines."""
    return run(FILE)


@pytest.mark.parametrize("page", [ROOT / "README.md", FILE], ids=lambda page: page.name)
def test_first_example_has_at_most_ten_lines(page: Path) -> None:
    first = next(block for block in blocks(page) if block.language == "python")
    assert len(first.text.splitlines()) <= 10


def test_readme_states_the_number_of_aggregations() -> None:
    assert f"{len(aggregations.all_aggregations())} aggregations" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "block", [block for block in blocks(FILE) if block.language == "diff"], ids=lambda block: str(block.line)
)
def test_edits_apply_to_the_catalog(block: Block) -> None:
    header, *lines = block.text.splitlines()
    before = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    assert before in (ROOT / header.removeprefix("--- ")).read_text(encoding="utf-8")


def test_features_of_the_example_are_named(names: dict[str, Any]) -> None:
    assert [feature.name for feature in names["patience"].features] == list(names["answer"])
    for feature in names["patience"].features:
        assert f"`{feature.name}`" in PAGE


def test_examples_pass_the_checks_of_the_registry(names: dict[str, Any]) -> None:
    added = Registry([*registry.sources.values(), *registry.views.values(), names["patience"], names["reviews"]])
    assert added.check([purpose.name for purpose in PURPOSES], added.fingerprints({})) == []


@pytest.mark.parametrize("aggregation", aggregations.all_aggregations(), ids=lambda aggregation: aggregation.__name__)
def test_every_aggregation_is_named(aggregation: type[aggregations.Aggregation]) -> None:
    assert f"`{aggregation.__name__}`" in PAGE
