"""Comparison of the worker's clock with the brokers'."""

from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from streams import clock_check as module
from streams.clock_check import ClockCheck, ClockError
from streams.metrics import CLOCK_SKEW

pytestmark = pytest.mark.anyio

NOW_S = 1_800_000_000.0


class Brokers:
    """Brokers whose clocks are ``ahead_ms`` (one a partition); each answer takes as long as the next of ``takes_s``."""

    def __init__(self, *ahead_ms: int, takes_s: tuple[float, ...] = (0.02, 0.02, 0.02)) -> None:
        self.ahead_ms, self.takes_s, self.now_s = ahead_ms, takes_s, NOW_S
        self.asked = [0] * len(ahead_ms)

    def clock(self) -> float:
        return self.now_s

    async def send_and_wait(self, _topic: str, _value: bytes, partition: int) -> Any:
        took_s = self.takes_s[self.asked[partition]]
        self.asked[partition] += 1
        appended_ms = self.now_s * 1000 + took_s * 500 + self.ahead_ms[partition]
        self.now_s += took_s
        return SimpleNamespace(timestamp=round(appended_ms))

    async def check(self) -> None:
        await ClockCheck("clock", len(self.ahead_ms), 1_000, self.clock).check(self)


async def test_clocks_that_agree_log_nothing() -> None:
    with capture_logs() as logs:
        await Brokers(300, -200).check()
    assert not logs
    assert CLOCK_SKEW._value.get() == pytest.approx(-0.3, abs=0.002)


@pytest.mark.parametrize(("ahead_ms", "way"), [(-1_200, "1200 ms ahead of"), (1_200, "1200 ms behind")])
async def test_largest_skew_of_any_broker_is_refused(ahead_ms: int, way: str) -> None:
    with pytest.raises(ClockError, match=f"{way} the broker's; they must agree to 1000 ms.*RAPPORT_STREAM_SESSION_MS"):
        await Brokers(0, ahead_ms, 10).check()


async def test_skew_over_half_of_the_margin_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as logs:
        monkeypatch.setattr(module, "log", module.structlog.get_logger())
        await Brokers(-700).check()
    assert [(entry["log_level"], entry["ahead_ms"]) for entry in logs] == [("warning", 700)]


async def test_slow_answer_is_not_taken_for_skew() -> None:
    """The quickest of three answers counts, and the middle of its time."""
    await Brokers(0, takes_s=(4.0, 0.01, 2.5)).check()
    assert CLOCK_SKEW._value.get() == pytest.approx(0, abs=0.002)
