"""Puts the figures of bench/results/NAME.json between README.md's marks: python docs/figures.py"""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "bench" / "results"
MARKS = re.compile(r"(<!-- figures:(?P<name>\w+) -->\n)(?P<table>.*?)(<!-- /figures -->)", re.DOTALL)


def table(result: dict[str, Any]) -> str:
    """One run as a table, and where it was."""
    rows = [f"| {name.replace('_', ' ')} | {value:,g} |" for name, value in result["figures"].items()]
    facts = f"`{result['command']}`, commit {result['commit']}, {result['date'][:10]},\non {result['machine']}."
    return "\n".join(["", "| figure | |", "|---|---|", *rows, "", facts, "", ""])


def filled(text: str, results: Path = RESULTS) -> str:
    """The text with every table anew; a place whose run is missing stays as it is."""

    def fill(found: re.Match[str]) -> str:
        file = results / f"{found['name']}.json"
        made = table(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else found["table"]
        return f"{found[1]}{made}{found[4]}"

    return MARKS.sub(fill, text)


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
