"""Comparison of the database's clock with the brokers'."""

from dataclasses import dataclass

import pytest

from featurestore.config import Settings
from featurestore.consent.journal import metrics
from featurestore.consent.journal.checkpoint import load_checkpoint
from featurestore.consent.journal.clock_comparison import ClockComparer, ClockUnreadable
from featurestore.consent.models import JournalCheckpoint
from featurestore.consent.vouching.node_verifier import VerifierState
from featurestore.shared_metrics import SHARED
from tests.kit.clock import Clock, at, ms
from tests.kit.shop import Shop
from tests.kit.verifier import verifier_of


@dataclass
class MemoryClocks:
    """Two brokers' clocks, so far from the database's, which takes some time to ask."""

    ahead_s: tuple[float, float] = (0, 0)
    now_s: float = 0
    latency_s: float = 0
    available: bool = True

    def database_now(self) -> object:
        return at(self.now_s)

    def now_ms(self, partition: int) -> int:
        if not self.available:
            raise ClockUnreadable("broker unavailable")
        self.now_s += self.latency_s
        return ms(at(self.now_s + self.ahead_s[partition]))


def comparer(clocks: MemoryClocks) -> ClockComparer:
    load_checkpoint("journal")
    compared = ClockComparer(clocks, 2, clocks.database_now)  # type: ignore[arg-type]
    compared.step()
    return compared


@pytest.mark.parametrize(
    ("brokers_ahead_s", "database_ahead_ms", "behind"),
    [((0, 0), 0, False), ((0.2, 1.0), -1000, False), ((0, 1.1), -1100, True), ((-10, 0.5), 10_000, False)],
)
def test_database_that_is_behind_a_broker_is_found(
    db: None, brokers_ahead_s: tuple[float, float], database_ahead_ms: int, behind: bool
) -> None:
    assert comparer(MemoryClocks(brokers_ahead_s)).is_behind() is behind
    assert JournalCheckpoint.objects.get().database_ahead_ms == database_ahead_ms


def test_slow_broker_does_not_pass_for_a_wrong_clock(db: None) -> None:
    assert not comparer(MemoryClocks((0, 0), latency_s=30)).is_behind()
    assert JournalCheckpoint.objects.get().database_ahead_ms == 0


def test_what_was_found_holds_while_no_clock_can_be_read(db: None) -> None:
    compared = comparer(clocks := MemoryClocks((2, 2)))
    clocks.available = False
    compared.step()
    assert compared.is_behind()
    clocks.available, clocks.ahead_s = True, (0, 0)
    compared.step()
    assert not compared.is_behind()


def test_metric_states_how_far_the_clocks_are_apart(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    comparer(MemoryClocks((2, 0)))
    monkeypatch.setattr(metrics.measure, "due_s", 0.0)
    monkeypatch.setattr(metrics, "settings", lambda: Settings(journal_topic="consent.journal"))
    metrics.measure()
    assert SHARED.get_sample_value("rapport_database_clock_ahead_seconds") == -2


def test_nothing_is_vouched_for_while_the_database_is_behind(shop: Shop, clock: Clock) -> None:
    behind = True
    verifier = verifier_of(shop.store, clock, clock_is_behind=lambda: behind)
    assert verifier.step() is VerifierState.CLOCK_BEHIND
    behind = False
    assert verifier.step() is not VerifierState.CLOCK_BEHIND
