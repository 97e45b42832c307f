"""README.md shows the figures that were measured, as they were."""

import json
from pathlib import Path

from docs.figures import README, filled

RUN = {"date": "2026-11-22T03:00:00+00:00", "machine": "2 x a core", "commit": "abc", "command": "make bench-streaming"}
TEXT = "before\n<!-- figures:streaming -->\nold\n<!-- /figures -->\nafter\n"


def test_a_run_is_shown(tmp_path: Path) -> None:
    (tmp_path / "streaming.json").write_text(json.dumps(RUN | {"figures": {"ratio_vs_quix": 3.2, "events": 28018}}))
    shown = filled(TEXT, tmp_path)
    assert "| ratio vs quix | 3.2 |\n| events | 28,018 |" in shown
    assert "`make bench-streaming`, commit abc, 2026-11-22,\non 2 x a core." in shown
    assert "old" not in shown
    assert filled(shown, tmp_path) == shown


def test_a_place_without_a_run_stays(tmp_path: Path) -> None:
    assert filled(TEXT, tmp_path) == TEXT


def test_the_front_door_is_up_to_date() -> None:
    text = README.read_text(encoding="utf-8")
    assert filled(text) == text, "run python docs/figures.py"
