"""A short chaos run: each kind of fault once, under load. The long run is ``make chaos``.

A kind that this machine lacks something for is left out, with the reason. Under ``CI=true`` nothing that can be
installed may lack.
"""

import os

import pytest

from tests.chaos.environment import missing_servers
from tests.chaos.faults import FAULTS, missing
from tests.chaos.process_clock import missing_library
from tests.chaos.report import failures, figures, summary
from tests.chaos.run import Plan, run

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.redis]


@pytest.mark.timeout(2400)
def test_no_fault_loses_doubles_or_leaks(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    if reason := missing_servers():
        pytest.skip(reason)
    assert os.environ.get("CI") != "true" or missing_library() is None, missing_library()
    left_out = {name: reason for name in FAULTS if (reason := missing(name))}
    kinds = tuple(name for name in FAULTS if name not in left_out)
    plan = Plan(
        minutes=0,
        faults=len(kinds),
        seed=4,
        customers=100,
        events_per_s=20,
        decisions_per_s=1.5,
        outage_s=6,
        kinds=kinds,
        watch_s=0.5,
        reads_per_s=3,
    )
    with capsys.disabled():
        print("".join(f"\nleft out: {name}, because {reason}" for name, reason in left_out.items()))
        outcome = run(tmp_path_factory.mktemp("chaos"), plan)
        print(summary(outcome))
        print("\n".join(failures(outcome)))  # in full: pytest would shorten it
    assert failures(outcome) == []
    found = figures(outcome)
    assert (found["lost"], found["doubled"], found["leaked"]) == (0, 0, 0)
    assert {one.fault for one in outcome.survived_faults} == set(kinds)
    assert found["values_compared"] > 8_000
    assert found["denials_checked"] > 500
    assert found["poison_events"] > 30
