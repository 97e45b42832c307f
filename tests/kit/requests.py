"""Environment of the tests of subject requests: regimes, purposes and customers, and a request made in one line."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module

from django.apps import apps

from featurestore.consent import services as consent
from featurestore.profiles.services import register
from featurestore.requests import services
from featurestore.requests.actors import Actor, client, staff
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services import Intake
from featurestore.store.memory import MemoryStore

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
"""A Monday, in every regime's time zone."""
SHOP, OLIVIA, ANTON = client("shop"), staff("olivia"), staff("anton")
PURPOSES = {"service": "consent", "analytics": "legitimate_interest", "delivery": "contract"}


def seed_regimes() -> None:
    """The shipped regimes, which a test that empties all tables has deleted."""
    import_module("featurestore.requests.migrations.0002_regimes").seed(apps, None)


def day(number: float) -> datetime:
    """So many days after NOON."""
    return NOON + timedelta(days=number)


@dataclass
class RequestsEnvironment:
    """Three purposes, and the registered customers C1 and C2."""

    store: MemoryStore

    def set_up(self) -> None:
        seed_regimes()
        for name, basis in PURPOSES.items():
            consent.define_purpose(name, title=name.title(), lawful_basis=basis)
        consent.publish_notice("privacy", 1, "en", "What we do.", PURPOSES)
        for customer_id in ("C1", "C2"):
            register(customer_id, "eu", "acme", now=day(-30))

    def give(self, at: datetime, customer_id: str = "C1") -> None:
        consent.give(customer_id, "service", notice="privacy/1/en", method="web", actor="shop", now=at)

    def receive(
        self,
        type_: str = "access",
        at: datetime = NOON,
        *,
        regime: str = "gdpr",
        customer_id: str = "C1",
        actor: Actor = SHOP,
        channel: str = "api",
        **fields,
    ) -> SubjectRequest:
        return services.receive(Intake(type_, regime, channel, customer_id, **fields), actor, at).request

    def verified(self, type_: str = "access", at: datetime = NOON, **fields) -> SubjectRequest:
        return self.receive(type_, at, attested=True, **fields)
