"""Tables of figures in README.md and docs/: they show the results files, unchanged."""

import json
from pathlib import Path

import pytest

from docs.figures import MARKERS, PAGES, with_tables
from tests.docs.pages import name

RUN = {"date": "2026-11-22T03:00:00+00:00", "machine": "2 x a core", "commit": "abc", "command": "make bench-streaming"}
TEXT = "before\n<!-- figures:streaming -->\nold\n<!-- /figures -->\nafter\n"
PAGES_WITH_TABLES = [page for page in PAGES if MARKERS.search(page.read_text(encoding="utf-8"))]


def shown(folder: Path, figures: dict[str, float], text: str = TEXT) -> str:
    (folder / "streaming.json").write_text(json.dumps(RUN | {"figures": figures}))
    made = with_tables(text, folder)
    assert with_tables(made, folder) == made
    return made


def test_table_shows_figures_command_commit_and_machine(tmp_path: Path) -> None:
    made = shown(tmp_path, {"ratio_vs_quix": 3.2, "events": 28018, "read_p99_9_ms_200": 12.5})
    assert (
        "| figure | |\n|---|---|\n| ratio vs quix | 3.2 |\n| events | 28,018 |\n| read p99.9 ms at 200/s | 12.5 |"
        in made
    )
    assert "`make bench-streaming`, commit abc, 2026-11-22,\non 2 x a core." in made
    assert "old" not in made


def test_peers_are_columns_of_one_table(tmp_path: Path) -> None:
    made = shown(tmp_path, {"rate": 9, "quix_rate": 3, "quix_hurried_rate": 2, "rss": 1, "quix_rss": 2, "alone": 5})
    assert "| | Rapport | Quix Streams | Quix Streams, low latency |\n|---|---|---|---|\n| rate | 9 | 3 | 2 |" in made
    assert "| rss | 1 | 2 |  |" in made
    assert "| figure | |\n|---|---|\n| alone | 5 |\n\n" in made


def test_sizes_are_columns_of_one_table(tmp_path: Path) -> None:
    made = shown(tmp_path, {"rate_1k_customers": 9, "rate_1m_customers": 1234567, "rate": 8})
    assert "| customers | 1,000 | 1,000,000 |\n|---|---|---|\n| rate | 9 | 1,234,567 |" in made


def test_faults_are_rows_of_one_table(tmp_path: Path) -> None:
    made = shown(tmp_path, {"api_killed_times": 4, "api_killed_s": 2.1, "api_killed_worst_s": 3.5, "failover_s": 3.6})
    assert (
        "| fault | survived | s until served again, median | worst |\n|---|---|---|---|\n| api killed | 4 | 2.1 | 3.5 |"
        in made
    )
    assert "| figure | |\n|---|---|\n| failover s | 3.6 |\n\n" in made


def test_steps_of_a_load_are_rows_in_numeric_order(tmp_path: Path) -> None:
    steps = {"read_p99_ms_2_processes_1000_conversations": 9, "read_p99_ms_1_processes_500_conversations": 8}
    made = shown(tmp_path, steps | {"most_reads_per_s_1_processes": 7, "most_reads_per_s_2_processes": 14, "alone": 5})
    assert made.index("| 1, 500 |") < made.index("| 2, 1,000 |")
    assert "| API processes | 1 | 2 |\n|---|---|---|\n| most reads per s | 7 | 14 |" in made
    assert "| figure | |\n|---|---|\n| alone | 5 |\n\n" in made


def test_quarters_of_a_run_are_columns_of_one_table(tmp_path: Path) -> None:
    made = shown(tmp_path, {"api_mb_quarter_1": 90, "api_mb_quarter_2": 91, "requests": 5})
    assert "| MB | quarter 1 | quarter 2 |\n|---|---|---|\n| api | 90 | 91 |" in made
    assert "| figure | |\n|---|---|\n| requests | 5 |\n\n" in made


def test_markers_may_name_single_tables(tmp_path: Path) -> None:
    text = TEXT.replace("streaming", "streaming growth")
    made = shown(tmp_path, {"rate_1k_customers": 9, "rate": 8, "quix_rate": 7}, text)
    assert "| rate | 9 |" in made
    assert "Quix" not in made


def test_headline_has_only_its_rows(tmp_path: Path) -> None:
    text = TEXT.replace("streaming", "streaming headline")
    made = shown(tmp_path, {"events_per_s_core": 9, "quix_events_per_s_core": 12, "worker_rss_mb": 1, "alone": 5}, text)
    assert (
        "| | Rapport | Quix Streams |\n|---|---|---|\n| worker rss mb | 1 |  |\n| events per s core | 9 | 12 |" in made
    )
    assert "alone" not in made


def test_row_title_may_replace_the_figure_name(tmp_path: Path) -> None:
    assert "| changes without an event | 0 |" in shown(tmp_path, {"unheard": 0})


def test_tables_without_a_results_file_stay(tmp_path: Path) -> None:
    assert with_tables(TEXT, tmp_path) == TEXT


@pytest.mark.parametrize("page", PAGES_WITH_TABLES, ids=name)
def test_page_shows_the_results_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run python docs/figures.py"


def test_readme_shows_figures() -> None:
    assert "README.md" in map(name, PAGES_WITH_TABLES)
