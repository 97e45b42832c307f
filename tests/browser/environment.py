"""Environment of the browser tests: a real Redis with values of a customer."""

from datetime import UTC, datetime, timedelta
from time import time

from featurestore.catalog import registry
from featurestore.config import settings
from featurestore.consent import services
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.profiles.services import register
from featurestore.store.protocol import Watermark
from featurestore.store.redis import RedisStore
from tests.kit.serving_environment import ServingEnvironment
from tests.kit.stores import vouch_for_database

LINE = {"order_id": "O1", "sku": "LAMP", "category": "light", "kind": "completed", "quantity": 2, "amount": "49.00"}


class BrowserEnvironment(ServingEnvironment):
    """C42 consented to service a month ago and bought a lamp yesterday."""

    def __init__(self, store: RedisStore):
        self.store = store  # type: ignore[assignment]
        self.now = datetime.now(UTC)
        self.now_ms = round(self.now.timestamp() * 1000)

    def vouch(self) -> None:
        change_sequence = load_change_sequence()
        vouch_for_database(self.store, change_sequence.epoch, change_sequence.sequence)

    def advance_watermarks(self) -> None:
        """Advance all watermarks to now: every view is fresh."""
        now_ms = round(time() * 1000)
        incarnation = self.store.read([], [], [], 1000).nodes[0].incarnation
        for source in registry.sources:
            coverage_starts_ms = {view.fingerprint: 0 for view in registry.views_of(source)}
            for partition in range(settings().partitions):
                assert self.store.advance_watermark(
                    source, partition, Watermark(1, 1, now_ms, coverage_starts_ms, incarnation)
                )

    def fold(self) -> None:
        self.advance_watermarks()
        yesterday = (self.now - timedelta(days=1)).replace(tzinfo=None).isoformat()
        self.fold_events("C42", "orders", (yesterday, LINE))

    def set_up(self) -> None:
        for name, basis in {"service": "consent", "fraud": "legal_obligation"}.items():
            services.define_purpose(name, title=name.title(), lawful_basis=basis)
        services.publish_notice("privacy", 1, "en", "What we do with your data.", ["service"])
        self.vouch()
        month_ago = self.now - timedelta(days=30)
        register("C42", "eu", "acme", since=month_ago)
        given = services.give("C42", "service", notice="privacy/1/en", method="web", actor="shop", since=month_ago)
        assert given.effective
        self.fold()
