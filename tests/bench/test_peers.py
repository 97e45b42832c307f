"""The bench's peers answer as we do."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from bench.contestants.shop import WINDOWS, Sale, spend
from bench.contestants.tiles import RESOLUTIONS_S, update
from featurestore.definitions.windows import resolution_of, window_seconds
from featurestore.serving.trial import try_view

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_peers_keep_our_windows_in_our_resolutions() -> None:
    ours = {window: window_seconds(window) for window in WINDOWS}
    assert {window: (length_s, resolution_of(length_s)) for window, length_s in ours.items()} == RESOLUTIONS_S


@pytest.mark.parametrize("seed", range(5))
def test_peers_answer_as_we_do_at_the_newest_event(seed: int) -> None:
    drawn = random.Random(seed)
    days = sorted((drawn.choice([0.02, 0.5, 2, 45]) * drawn.random() for _ in range(300)), reverse=True)
    late_by = (timedelta(minutes=drawn.choice([0, 0, 0, 90])) for _ in days)
    times = [NOON - timedelta(days=age) - late for age, late in zip(days, late_by, strict=True)]
    state: dict[str, object] = {}
    for i, time in enumerate(times, 1):
        features = update(state, int(time.timestamp()), i)
        if i % 50 == 0:
            bought = [(at, Sale(kind="completed", amount=Decimal(n) / 100)) for n, at in enumerate(times[:i], 1)]
            answer = try_view(spend, bought, at=max(times[:i]))
            sums = {f"sum_{window}": round(answer[f"spend_amount_sum_{window}"] * 100) for window in WINDOWS}
            assert features == sums | {f"count_{window}": answer[f"spend_count_{window}"] for window in WINDOWS}
