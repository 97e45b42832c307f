"""The measurement of event streams runs without errors."""

from pathlib import Path

from bench import change_notifications, sse


def test_a_hundred_streams_receive_every_change(tmp_path: Path) -> None:
    figures = sse.measured(tmp_path, streams=100, seconds=1)
    assert (figures["streams"], figures["errors"], figures["unheard"]) == (100, 0, 0)
    assert 0 < figures["write_to_event_p50_ms"] <= figures["write_to_event_p99_ms"]


def test_cost_of_change_notifications_is_measured(tmp_path: Path) -> None:
    assert all(value > 0 for value in change_notifications.measured(tmp_path).values())
