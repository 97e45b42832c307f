"""A server behind the API breaks: an answer in time all the same, and all as before within seconds."""

from collections.abc import Iterator

import pytest

from tests.system.faults import FAULTS, SERVED, TIMEOUT_MS, Shop

SLACK_S = 2.0  # a busy machine
BACK_S = 5.0  # by python -m tests.system.faults within one, on a quiet machine


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("faults"))
    yield made
    made.stop()


@pytest.mark.parametrize("name", FAULTS)
def test_a_caller_is_answered_in_time_and_served_again_soon(shop: Shop, name: str) -> None:
    fault = FAULTS[name]
    survived = shop.survive(fault, hold_s=3)
    assert survived.answers.keys() <= {SERVED} | fault.instead
    assert bool(survived.answers.keys() & fault.instead) == bool(fault.instead), "it is felt, or nobody notices"
    assert survived.longest_s < TIMEOUT_MS / 1000 + SLACK_S
    assert survived.back_s < BACK_S
    assert shop.ask() == SERVED
