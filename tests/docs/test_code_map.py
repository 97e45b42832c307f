"""Names in docs/code-map.md: a function or class that the page names is defined in the file that it names."""

import re

import pytest

from featurestore.config import ROOT

PATTERN = r"`([\w.]+)`(?: and `[\w.]+`)?,? (?:caught )?in `([\w/]+\.py)`"
NAMED = re.findall(PATTERN, (ROOT / "docs/code-map.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "file"), NAMED, ids=[name for name, _ in NAMED])
def test_named_code_is_defined_in_its_file(name: str, file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    for part in name.split("."):
        assert re.search(rf"\b(def|class) {part}\b|^    {part}:", text, re.MULTILINE), f"{part} is not in {file}"


def test_the_page_names_code() -> None:
    assert len(NAMED) >= 10
