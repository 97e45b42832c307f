"""Templates of unfold's that the site replaces: unfold's own has not changed meanwhile."""

import re
from collections import Counter
from hashlib import sha256
from pathlib import Path

import unfold

TEMPLATES = Path(unfold.__file__).parent / "templates"
ALPINE = re.compile(r'\bx-(?:on|bind|data|init|show|text|model)(:[\w.:-]+)?="([^"]*)"')
STATEMENTS = re.compile(r";\s*[a-z$]|\bif \(|=>")
REWRITTEN = {"search.html": 2, "welcomemsg.html": 1, "command.html": 1, "skeleton.html": 1}
"""Attributes with statements, which alpine_data.js tells in one expression; the skeleton is replaced."""
SKELETON = "unfold/layouts/skeleton.html"


def test_replaced_skeleton_is_of_this_unfold() -> None:
    text = (TEMPLATES / SKELETON).read_text()
    assert sha256(text.encode()).hexdigest() == "66af9f0bb45f98ba4e16ba5e5a11f36d87b8e07430d19066d088b29548491c2e", (
        f"unfold changed {SKELETON}: apply the nonce, the body's x-data and htmx's settings to the new one"
    )


def test_statements_in_attributes_are_those_that_are_rewritten() -> None:
    found = Counter(
        path.name
        for path in (TEMPLATES / "unfold").rglob("*.html")
        for match in ALPINE.finditer(path.read_text())
        if STATEMENTS.search(match[2])
    )
    assert found == REWRITTEN
