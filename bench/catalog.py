"""Processor time of an event with the shipped definitions: every view of its source, sketches included.

    python -m bench.catalog

The streams' own code folds whole populations into a real Redis, in micro-batches of the size under load. A figure is
the events by the processor time of this process: decoding, permissions, fold, writes; without Kafka and the tables,
which add a tenth or so. The more views a source feeds, and the more of them have sketches, the more an event costs.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from redis import Redis

from bench.offline import Offline
from bench.populations import NoRetailData, TimedEvent, busiest, demo_hour, retail
from devservers.redis_server import RedisServer
from featurestore.catalog import registry

ROUND_EVENTS = 500
BUSIEST = 40


def measured(server: RedisServer) -> dict[str, float]:
    """Events a second and core, of the retail data and of the simulated shop, from an empty Redis."""
    figures = {"catalog_shop_events_per_s_core": rate(server, busiest(demo_hour(), BUSIEST))}
    try:
        figures["catalog_retail_events_per_s_core"] = rate(server, retail())
        figures["catalog_retail_spread_events_per_s_core"] = rate(server, spread(retail()))
    except NoRetailData as error:
        print(f"retail data left out: {error}")
    return figures


def spread(events: Sequence[TimedEvent]) -> list[TimedEvent]:
    """The same events, one of each customer in turn: as at scale, where hardly two of a round are one customer's."""
    turns: dict[str, list[TimedEvent]] = {}
    for event in events:
        turns.setdefault(event.customer_id, []).append(event)
    return [event for turn in zip_longest(*turns.values()) for event in turn if event is not None]


def rate(server: RedisServer, events: Sequence[TimedEvent]) -> float:
    with Redis(port=server.port) as redis:
        redis.flushall()
    offline = Offline(registry, server.url, ROUND_EVENTS)
    asyncio.run(offline.fold(events))
    return len(events) / offline.cpu_s


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            for name, value in measured(server).items():
                print(f"{name:<40}{value:>10,.0f}")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
