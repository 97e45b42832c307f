"""A server behind the API breaks: answers in time all the same, and recovery within seconds."""

from collections.abc import Iterator

import pytest

from tests.system.faults import FAULTS, SERVED, TIMEOUT_MS, FaultHarness

TOLERANCE_S = 8.0  # a busy machine
BACK_S = 15.0  # by python -m tests.system.faults within one, on a quiet machine


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[FaultHarness]:
    made = FaultHarness(tmp_path_factory.mktemp("faults"))
    yield made
    made.stop()


@pytest.mark.parametrize("name", FAULTS)
def test_reads_are_answered_in_time_and_served_again_soon(harness: FaultHarness, name: str) -> None:
    fault = FAULTS[name]
    recovery = harness.measure(fault, hold_s=3)
    assert recovery.answers.keys() <= {SERVED} | fault.instead
    assert bool(recovery.answers.keys() & fault.instead) == bool(fault.instead), "the fault shows exactly where it must"
    assert recovery.longest_s < TIMEOUT_MS / 1000 + TOLERANCE_S
    assert recovery.back_s < BACK_S
    assert harness.read() == SERVED
