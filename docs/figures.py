"""Tables of README.md and docs/: `python docs/figures.py` writes bench/results/NAME.json between their markers.

``<!-- figures:NAME -->`` precedes all tables of a run but its headline, ``<!-- figures:NAME peers others -->`` the
tables that it names. ``<!-- /figures -->`` follows them.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
RESULTS = ROOT / "bench" / "results"
MARKERS = re.compile(
    r"(<!-- figures:(?P<name>\w+)(?P<parts>(?: \w+)*) -->\n)(?P<tables>.*?)(<!-- /figures -->)", re.DOTALL
)

CONTESTANTS = {  # titles by prefix of the figures' names; longer before shorter
    "feast_precomputed_": "Feast, precompute_online",
    "feast_": "Feast",
    "floor_": "bare Django view, one GET",
    "ninja_": "Rapport, by django-ninja",
    "quix_hurried_": "Quix Streams, low latency",
    "quix_": "Quix Streams",
    "plain_faust_": "plain Faust",
}
HEADLINE = (  # rows of the headline table
    "rps", "p50_ms", "p99_ms", "batch100_rps", "worker_rss_mb",
    "events_per_s_core", "produce_to_readable_p99_ms_200", "produce_to_readable_p99_ms_2000",
    "changelog_bytes_per_event",
)  # fmt: skip
HEADLINE_CONTESTANTS = ("", "feast_", "floor_", "plain_faust_", "quix_", "quix_hurried_")
SIZES = {"_1k": "1,000", "_10k": "10,000", "_100k": "100,000", "_1m": "1,000,000"}  # followed by _customers
LABELS = {  # titles of rows; the others' are their figures' names
    "permissions_filled_per_s": "permissions published per s",
    "rebuilt_subjects_per_s_core": "subjects republished per s core",
    "unheard": "changes without an event",
    "write_silent_us": "write us, without a notification",
    "write_told_to_nobody_us": "write us, no subscriber",
    "write_told_to_a_follower_us": "write us, one subscriber",
}

STEP = re.compile(r"(.+)_(\d+)_processes_(\d+)_conversations")
STEP_COLUMNS = {
    "requests_per_s": "requests/s", "reads_per_s": "reads/s", "read_p50_ms": "read p50 ms", "read_p99_ms": "p99",
    "burst_p99_ms": "read in a burst p99", "batch_p99_ms": "batch of 100 p99", "event_p99_ms": "event write p99",
    "stream_p99_ms": "event to stream p99", "failures": "failures", "api_cores": "API cores", "all_cores": "all cores",
}  # fmt: skip
PROCESSES = re.compile(r"(.+)_(\d+)_processes")
QUARTER = re.compile(r"(.+)_mb_quarter_(\d)")

FAULT_COLUMNS = {"_times": "survived", "_s": "s until served again, median", "_worst_s": "worst"}  # by suffix

Figures = Mapping[str, float]


def contestant_of(name: str) -> tuple[str, str]:
    """The contestant's prefix ("" is ours) of a figure's name, and the rest."""
    prefix = next((prefix for prefix in CONTESTANTS if name.startswith(prefix)), "")
    return prefix, name.removeprefix(prefix)


def size_of(name: str) -> tuple[str, str]:
    """The size in a figure's name ("" without one), and the rest."""
    size = next((size for size in SIZES if name.endswith(f"{size}_customers")), "")
    return size, name.removesuffix(f"{size}_customers") if size else name


def peers(figures: Figures) -> list[str]:
    """Table of the figures that peers have too, a column for each contestant."""
    found = [contestant_of(name) for name in figures]
    shared = sorted({stem for prefix, stem in found if prefix})
    columns = {"": "Rapport"} | {prefix: CONTESTANTS[prefix] for prefix, _ in sorted(found) if prefix}
    return side_by_side("", columns, {stem: [figures.get(f"{prefix}{stem}") for prefix in columns] for stem in shared})


def headline(figures: Figures) -> list[str]:
    """Table of README.md: a few rows of the peers' table, in the order of HEADLINE."""
    found = {contestant_of(name)[0] for name in figures}
    columns = {"": "Rapport"} | {
        prefix: CONTESTANTS[prefix] for prefix in HEADLINE_CONTESTANTS if prefix in found and prefix
    }
    rows = {stem: [figures.get(f"{prefix}{stem}") for prefix in columns] for stem in HEADLINE if stem in figures}
    return side_by_side("", columns, rows)


def growth(figures: Figures) -> list[str]:
    """Table of the figures that were measured at several sizes, a column for each."""
    found = [size_of(name) for name in figures]
    grown = sorted({stem for size, stem in found if size})
    columns = {size: title for size, title in SIZES.items() if any(size == at for at, _ in found)}
    rows = {stem: [figures.get(f"{stem}{size}_customers") for size in columns] for stem in grown}
    return side_by_side("customers", columns, rows)


def faults(figures: Figures) -> list[str]:
    """Table of the faults, a row for each."""
    names = [name.removesuffix("_times") for name in figures if name.endswith("_times")]
    return side_by_side(
        "fault", FAULT_COLUMNS, {name: [figures.get(f"{name}{part}") for part in FAULT_COLUMNS] for name in names}
    )


def steps(figures: Figures) -> list[str]:
    """Table of a load's steps, a row for each number of API processes and conversations."""
    found = sorted({(int(at[2]), int(at[3])) for at in map(STEP.fullmatch, figures) if at})
    rows = {
        f"{processes}, {conversations:,}": [
            figures.get(f"{name}_{processes}_processes_{conversations}_conversations") for name in STEP_COLUMNS
        ]
        for processes, conversations in found
    }
    return side_by_side("API processes, conversations", STEP_COLUMNS, rows)


def processes(figures: Figures) -> list[str]:
    """Table by number of API processes, a column for each."""
    return by_column(figures, PROCESSES, "API processes", "{}")


def quarters(figures: Figures) -> list[str]:
    """Table of memory in each quarter of a long run, a row for each process."""
    return by_column(figures, QUARTER, "MB", "quarter {}")


def by_column(figures: Figures, pattern: re.Pattern[str], head: str, title: str) -> list[str]:
    """Table of the figures whose names match: group 1 of ``pattern`` is the row, group 2 the column."""
    found = {(at[1], at[2]): figures[at[0]] for at in map(pattern.fullmatch, figures) if at}
    columns = {column: title.format(column) for column in sorted({column for _, column in found})}
    rows = {name: [found.get((name, column)) for column in columns] for name in sorted({name for name, _ in found})}
    return side_by_side(head, columns, rows)


def others(figures: Figures) -> list[str]:
    """Table of the figures that no other table has."""
    shared = {stem for prefix, stem in map(contestant_of, figures) if prefix}
    of_faults = {
        name.removesuffix("_times") + part for name in figures if name.endswith("_times") for part in FAULT_COLUMNS
    }
    grouped = shared | of_faults
    alone = [
        name
        for name in figures
        if contestant_of(name)[1] not in grouped
        and not size_of(name)[0]
        and not any(named.fullmatch(name) for named in (STEP, PROCESSES, QUARTER))
    ]
    return side_by_side("figure", {"": ""}, {name: [figures[name]] for name in alone})


PARTS: dict[str, Callable[[Figures], list[str]]] = {
    "peers": peers,
    "growth": growth,
    "faults": faults,
    "steps": steps,
    "processes": processes,
    "quarters": quarters,
    "others": others,
}


def side_by_side(head: str, columns: Mapping[str, str], rows: Mapping[str, Iterable[float | None]]) -> list[str]:
    """Lines of a table, after an empty one; none without rows."""
    if not rows:
        return []
    titles = f"| {' | '.join([head, *columns.values()])} |".replace("|  |", "| |")
    lines = [f"| {label(name)} | {' | '.join(map(number, values))} |" for name, values in rows.items()]
    return ["", titles, "|---" * (len(columns) + 1) + "|", *lines]


def label(name: str) -> str:
    """The title of a figure's row: p99_9_ms_200 is p99.9 in ms at 200 events a second."""
    if name in LABELS:
        return LABELS[name]
    rate = re.sub(r"_ms_(\d+)$", r" ms at \1/s", re.sub(r"(p\d+)_(\d)_", r"\1.\2_", name))
    return rate.replace("_", " ")


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:g}"


SHORT = {"headline": headline}


def tables(result: dict[str, Any], parts: Iterable[str] = ()) -> str:
    """Tables of a run, with its command, commit and machine. Without parts: all but the short ones."""
    shown = [line for part in parts or PARTS for line in (PARTS | SHORT)[part](result["figures"])]
    facts = f"`{result['command']}`, commit {result['commit']}, {result['date'][:10]},\non {result['machine']}."
    return "\n".join([*shown, "", facts, "", ""])


def with_tables(text: str, results: Path = RESULTS) -> str:
    """The text with every table written anew; tables of a run without a results file stay."""

    def replacement(found: re.Match[str]) -> str:
        file = results / f"{found['name']}.json"
        if not file.exists():
            return found[0]
        result = json.loads(file.read_text(encoding="utf-8"))
        return f"{found[1]}{tables(result, found['parts'].split())}{found[5]}"

    return MARKERS.sub(replacement, text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
