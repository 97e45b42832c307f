"""Shop whose customers register, consent and withdraw, on a database of the test's own and a store in memory."""

from dataclasses import dataclass, field

import pytest

from featurestore.consent import late_grants, services
from featurestore.consent.outbox import purge_producer
from featurestore.consent.outbox.purge_producer import Purge
from featurestore.consent.services import RecordedDecision
from featurestore.permission import Denial, Permission, PurposePermission
from featurestore.profiles.services import RegistrationResult, register
from featurestore.serving.guard import decide_access
from featurestore.store.memory import MemoryStore
from tests.kit.clock import at, ms


@dataclass
class SentPurges:
    """The purge topic, in memory. ``failing``: the broker refuses; ``dying``: the process ends after sending."""

    sent: list[Purge] = field(default_factory=list)
    failing: bool = False
    dying: bool = False

    def send(self, wanted: list[Purge]) -> dict[Purge, str]:
        if self.failing:
            return dict.fromkeys(wanted, "broker unavailable")
        self.sent += wanted
        if self.dying:
            raise KeyboardInterrupt
        return {}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> SentPurges:
    double = SentPurges()
    monkeypatch.setattr(purge_producer, "purge_producer", lambda: double)
    return double


@pytest.fixture
def shop(database: str, store: MemoryStore, sent: SentPurges, monkeypatch: pytest.MonkeyPatch) -> "Shop":
    """A vouched store, the four purposes and their notice. No customer is registered.

    Where a test gives no time, grants are in time: the database's clock is far ahead of the test's.
    """
    monkeypatch.setattr(late_grants, "database_now", at)
    return Shop(store, sent)


@dataclass
class Shop:
    """Registrations and decisions at seconds after the test's beginning, and what the store then permits."""

    store: MemoryStore
    sent: SentPurges

    def register(self, customer_id: str = "ann", when: float = 0, **kwargs) -> RegistrationResult:
        return register(customer_id, "eu", "acme", now=at(when), **kwargs)

    def give(self, purpose: str = "service", when: float = 0, customer_id: str = "ann", **kwargs) -> RecordedDecision:
        kwargs = {"notice": "privacy/1/en", "method": "web", "actor": "shop"} | kwargs
        return services.give(customer_id, purpose, now=at(when), **kwargs)

    def withdraw(
        self, purpose: str = "service", when: float = 0, customer_id: str = "ann", **kwargs
    ) -> RecordedDecision:
        kwargs = {"method": "web", "actor": "shop"} | kwargs
        return services.withdraw(customer_id, purpose, now=at(when), **kwargs)

    def stored(self, subject: str) -> Permission | None:
        return self.store.read([subject], [], [], 1000).subjects[0].permission

    def read(self, subject: str, purpose: str = "service", when: float = 3600) -> PurposePermission | Denial:
        """The guard's decision on a subject's stored permission."""
        reading = self.store.read([subject], [], [], 1000)
        return decide_access(reading.subjects[0].permission, purpose, vouched=reading.vouched, now_ms=ms(at(when)))
