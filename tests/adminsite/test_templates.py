"""Templates of unfold's that the site replaces: unfold's own has not changed meanwhile."""

from hashlib import sha256
from pathlib import Path

import unfold

SKELETON = "unfold/layouts/skeleton.html"


def test_replaced_skeleton_is_of_this_unfold() -> None:
    text = (Path(unfold.__file__).parent / "templates" / SKELETON).read_text()
    assert sha256(text.encode()).hexdigest() == "66af9f0bb45f98ba4e16ba5e5a11f36d87b8e07430d19066d088b29548491c2e", (
        f"unfold changed {SKELETON}: apply the nonce, the body's x-data and htmx's settings to the new one"
    )
