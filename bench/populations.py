"""Populations whose storage is measured: customers of the retail data, and the simulated shop's busiest."""

import gzip
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from devservers.results import ROOT
from featurestore.catalog.orders import orders
from featurestore.catalog.retail import Sale, sales
from featurestore.catalog.simulation import SimulatedShop
from featurestore.definitions import EventSource
from featurestore.definitions.simulation import CustomerEvent

DATA = Path(os.environ.get("RAPPORT_TEST_DATA", ROOT.parent / "shared" / "data"))
RETAIL = DATA / "online_retail_2010-12_to_2011-05.csv.gz"

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
SHOP_CUSTOMERS = 40  # as in the demo
DEMO_RATE = 20  # actions a second, as in the demo
YEAR = timedelta(days=400)  # the longest window
YEAR_ACTIONS = 300_000


class TimedEvent(NamedTuple):
    """An event of one customer at a time."""

    customer_id: str
    source: EventSource
    at: datetime
    data: msgspec.Struct


class NoRetailData(Exception):
    """The data set is missing; the message names the folder."""


def retail() -> list[TimedEvent]:
    """Every event of the retail data, in the file's order. Raises NoRetailData."""
    if not RETAIL.exists():
        raise NoRetailData(f"{RETAIL} is not there: RAPPORT_TEST_DATA names the folder of {RETAIL.name}")
    with gzip.open(RETAIL, "rt", encoding="utf-8-sig", errors="replace", newline="") as lines:
        rows = [row for row in sales(lines) if isinstance(row, Sale)]
    return [TimedEvent(row.customer_id, orders, row.time, row.data) for row in rows]


def demo_hour() -> Iterator[datetime]:
    """Times of the simulated shop's actions in the first hour of a demo."""
    return (BEGAN + i * timedelta(seconds=1) / DEMO_RATE for i in range(3_600 * DEMO_RATE))


def year_and_hour() -> Iterator[datetime]:
    """The same after more than a year of actions, when every window has nearly all its tiles."""
    yield from (BEGAN + i * YEAR / YEAR_ACTIONS for i in range(YEAR_ACTIONS))
    yield from (moment + YEAR for moment in demo_hour())


def busiest(moments: Iterable[datetime], customers: int) -> list[TimedEvent]:
    """The events of the simulated shop's busiest customers; the first is ten times as busy as any other.

    Nobody withdraws: that would make values smaller.
    """
    actions = SimulatedShop([f"C{n}" for n in range(1, SHOP_CUSTOMERS + 1)], random.Random(1)).actions()
    timed = ((at, one) for at, one in zip(moments, actions, strict=False) if isinstance(one, CustomerEvent))
    events = [TimedEvent(one.customer_id, one.source, at, one.data) for at, one in timed]
    most = {customer for customer, _ in Counter(one.customer_id for one in events).most_common(customers)}
    return [one for one in events if one.customer_id in most]
