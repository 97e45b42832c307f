"""The load is what it says: every kind of request is made, none fails, and its figures are Locust's."""

from pathlib import Path

import pytest

from tests.chaos.environment import missing
from tests.load.knee import figures_of
from tests.load.plots import plot_knee
from tests.load.environment import RequestStats, load_environment
from tests.load.soak import quarters
from tests.load.process_monitor import Sample

KINDS = {
    "write an event",
    "read to route, 5 features",
    "read to answer, all of a service",
    "read in a burst of 50",
    "read 100 customers",
    "withdraw",
    "read after a withdrawal",
    "agree",
    "event stream: open to first answer",
    "event stream: from an event to its change",
}


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.timeout(300)
def test_conversations_streams_desks_and_changes_of_mind_are_all_served(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    with load_environment(tmp_path, people=200, events_per_s=20) as shop:
        load = shop.load(conversations=150, seconds=12, spawn_s=2)
        assert shop.events.sent > 100
    assert load.errors == {}
    assert load.failures == 0
    assert load.asked.keys() >= KINDS
    figures = figures_of(load)
    assert figures["reads_per_s"] > 20
    assert figures["api_cores"] > 0
    plot_knee(
        {f"{name}_1_processes_150_conversations": value for name, value in figures.items()}, tmp_path / "knee.svg"
    )
    assert "conversations" in (tmp_path / "knee.svg").read_text(encoding="utf-8")


def test_quantiles_are_of_all_requests_together() -> None:
    quick, slow = RequestStats(3, 0, 1.0, {1.0: 3}), RequestStats(1, 1, 0.5, {100.0: 1})
    together = quick | slow
    assert (together.requests, together.failures, together.per_s) == (4, 1, 1.5)
    assert [together.quantile_ms(share) for share in (0.5, 0.75, 0.99)] == [1, 1, 100]
    assert RequestStats(0, 0, 0.0, {}).quantile_ms(0.99) == 0


def test_memory_is_that_of_the_middle_of_each_quarter() -> None:
    samples = [Sample(at_s=n, cpu_s=0, uss=n * 1_000_000) for n in range(40)]
    assert quarters(samples) == [4.5, 14.5, 24.5, 34.5]
