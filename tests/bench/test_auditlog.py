"""The measurement of the audit log runs, and every log that it fills holds."""

from pathlib import Path

from bench import auditlog


def test_appending_and_verifying_are_measured_in_both_databases(tmp_path: Path) -> None:
    figures = auditlog.measured(tmp_path, pairs=5, entries=2_000)
    for database in ("", "sqlite_"):
        assert figures[f"audit_{database}decision_ms"] > figures[f"audit_{database}append_ms"]
        for name in ("sequenced_per_s", "verify_s_2000", "verify_rss_mb_2000"):
            assert figures[f"audit_{database}{name}"] > 0
