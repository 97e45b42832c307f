"""A short chaos run: every process and server is killed under load. The long run is ``make chaos``."""

import pytest

from tests.chaos.environment import missing_servers
from tests.chaos.faults import FAULTS
from tests.chaos.report import failures, figures, summary
from tests.chaos.run import Plan, run

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.redis]


@pytest.mark.timeout(900)
def test_no_fault_loses_doubles_or_leaks(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    if reason := missing_servers():
        pytest.skip(reason)
    plan = Plan(minutes=2.5, faults=len(FAULTS), seed=4, customers=120, events_per_s=60, outage_s=10)
    with capsys.disabled():
        outcome = run(tmp_path_factory.mktemp("chaos"), plan)
        print(summary(outcome))
        print("\n".join(failures(outcome)))  # in full: pytest would shorten it
    assert failures(outcome) == []
    found = figures(outcome)
    assert (found["lost"], found["doubled"], found["leaked"]) == (0, 0, 0)
    assert {one.fault for one in outcome.survived_faults} == set(FAULTS)
    assert found["values_compared"] > 10_000
    assert found["denials_checked"] > 500
    assert found["poison_events"] > 30
