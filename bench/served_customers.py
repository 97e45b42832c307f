"""Customers to be read: twenty windowed features of three views, some thirty tiles each, in a real Redis.

The streams' own processor writes them, and beside them the watermarks of a worker that is never behind.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from bench.offline import Offline
from bench.populations import TimedEvent
from featurestore.catalog import registry
from featurestore.catalog.chat import Message, chat
from featurestore.catalog.orders import OrderLine, orders
from featurestore.catalog.support import TicketChange, support
from featurestore.store.protocol import Watermark

SERVICE, PURPOSE = "support_chat", "service"
VIEWS = ("spend", "returns", "tickets")
FEATURES = [f.name for view in VIEWS for f in registry.views[view].features if f.window_s is not None][:20]
TILES = 30
FAR_FUTURE_MS = 4_000_000_000_000


def customers(count: int, prefix: str = "C") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def events_of(names: Sequence[str], days: int, seed: int = 1) -> Iterator[TimedEvent]:
    """Every day an order, a ticket's change and a message of each customer, and a return now and then."""
    random = Random(seed)
    now = datetime.now(UTC)
    for day in range(days, 0, -1):
        for name in names:
            at = now - timedelta(days=day) + timedelta(minutes=random.randrange(1_400))
            back = random.random() < 0.2
            yield TimedEvent(name, orders, at, OrderLine(
                kind="returned" if back else "completed", order_id=f"O{day}", sku=f"S{random.randrange(900)}",
                quantity=-1 if back else 1, amount=Decimal(random.randrange(100, 9_999)) / (-100 if back else 100),
            ))  # fmt: skip
            yield TimedEvent(name, support, at, TicketChange(
                kind=random.choice(("opened", "solved")), ticket_id=f"T{day}", topic="delivery", open_tickets=1,
            ))  # fmt: skip
            yield TimedEvent(name, chat, at, Message(
                author=random.choice(("customer", "agent")), conversation_id=f"D{day}", intent="delivery",
                sentiment=random.uniform(-1, 1),
            ))  # fmt: skip


def fill(url: str, names: Sequence[str], days: int = TILES) -> None:
    """Fold what the customers did into the Redis at a URL, as workers would, under the subject secret ``bench``."""
    offline = Offline(registry, url)
    asyncio.run(offline.fold(list(events_of(names, days))))
    filled = offline.store.read([], [], [], 5_000).nodes[0].incarnation
    for source in registry.sources:
        coverage_starts_ms = {view.fingerprint: 0 for view in registry.views_of(source)}
        assert offline.store.advance_watermark(
            source, 0, Watermark(1, time.time_ns(), FAR_FUTURE_MS, coverage_starts_ms, filled)
        ), source
