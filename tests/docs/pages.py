"""Pages of the documentation, README.md and docs/, with their blocks and links.

python -m tests.docs.pages PAGE      runs a page's python blocks from top to bottom
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from featurestore.config import ROOT

FENCE = re.compile(r"^```(?P<language>\w+)(?P<note>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


class Block(NamedTuple):
    """Fenced block: its language, the note after it, its text and its line in the page."""

    language: str
    note: str
    text: str
    line: int


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["note"].strip(), found["text"], text.count("\n", 0, found.start()) + 2)
        for found in FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[str]:
    return (found["target"] for found in LINK.finditer(prose(page)))


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub makes of a page's headings."""
    headings = (found["text"].lower() for found in HEADING.finditer(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def run(page: Path) -> dict[str, Any]:
    """The names that a page's python blocks define, executed from top to bottom."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.language == "python":
            code = "\n" * (block.line - 1) + block.text  # so that a traceback names the page's line
            exec(compile(code, name(page), "exec"), names)
    return names


if __name__ == "__main__":
    run(Path(sys.argv[1]))
