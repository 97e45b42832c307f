"""A short load: every kind of request is made and none fails; figures and plots are computed."""

from pathlib import Path

import pytest

from tests.chaos.environment import missing_servers
from tests.kit.whole_machine import whole_machine
from tests.load.environment import RequestStats, load_environment
from tests.load.knee import figures_of
from tests.load.plots import plot_knee
from tests.load.process_monitor import Sample
from tests.load.soak import quarters

KINDS = {
    "write an event",
    "read to route, 5 features",
    "read to answer, all of a service",
    "read in a burst of 50",
    "read 100 customers",
    "withdraw",
    "read after a withdrawal",
    "give consent",
    "event stream: open to first answer",
    "event stream: from an event to its change",
}


@pytest.mark.last  # an API on a busy machine refuses requests, as it should
@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.timeout(1800)
def test_every_kind_of_request_is_served_under_load(tmp_path: Path) -> None:
    if reason := missing_servers():
        pytest.skip(reason)
    with whole_machine(), load_environment(tmp_path, customers=200, events_per_s=20) as env:
        step = env.run(conversations=150, seconds=12, spawn_s=2)
        assert env.events.sent > 100
    assert step.errors == {}
    assert step.failures == 0
    assert step.stats.keys() >= KINDS
    figures = figures_of(step)
    assert figures["reads_per_s"] > 20
    assert figures["api_cores"] > 0
    plot_knee(
        {f"{name}_1_processes_150_conversations": value for name, value in figures.items()}, tmp_path / "knee.svg"
    )
    assert "conversations" in (tmp_path / "knee.svg").read_text(encoding="utf-8")


def test_quantiles_of_merged_statistics() -> None:
    fast, slow = RequestStats(3, 0, 1.0, {1.0: 3}), RequestStats(1, 1, 0.5, {100.0: 1})
    merged = fast | slow
    assert (merged.requests, merged.failures, merged.per_s) == (4, 1, 1.5)
    assert [merged.quantile_ms(share) for share in (0.5, 0.75, 0.99)] == [1, 1, 100]
    assert RequestStats(0, 0, 0.0, {}).quantile_ms(0.99) == 0


def test_memory_of_a_quarter_is_its_median() -> None:
    samples = [Sample(at_s=n, cpu_s=0, uss=n * 1_000_000) for n in range(40)]
    assert quarters(samples) == [4.5, 14.5, 24.5, 34.5]
