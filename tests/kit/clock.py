"""Injected clock, and moments counted in seconds from a test's beginning."""

from datetime import UTC, datetime, timedelta

import pytest

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float = 0) -> datetime:
    """The moment so many seconds after the beginning."""
    return T0 + timedelta(seconds=seconds)


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


class Clock:
    """Monotonic clock in seconds; it advances only by ``pass_s``."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()
