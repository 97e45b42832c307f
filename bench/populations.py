"""Customers whose features are weighed: those of the retail data, and the simulated shop's busiest."""

import gzip
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from adminsite.demo.simulated_shop import CustomerEvent, SimulatedShop
from devservers.results import ROOT
from featurestore.catalog.orders import orders
from featurestore.catalog.retail import Sale, sales
from featurestore.definitions import EventSource

DATA = Path(os.environ.get("RAPPORT_TEST_DATA", ROOT.parent / "shared" / "data"))
RETAIL = DATA / "online_retail_2010-12_to_2011-05.csv.gz"

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
SHOP_CUSTOMERS = 40  # as in the demo
DEMO_RATE = 20  # deeds a second, as in the demo
YEAR = timedelta(days=400)  # the longest window
YEAR_DEEDS = 300_000


class CustomerEvent(NamedTuple):
    """An event of one customer."""

    customer_id: str
    source: EventSource
    at: datetime
    data: msgspec.Struct


class NoRetailData(Exception):
    """The data set is not there; the message says where it was looked for."""


def retail() -> list[CustomerEvent]:
    """Every event of the retail data, in the file's order. Raises NoRetailData."""
    if not RETAIL.exists():
        raise NoRetailData(f"{RETAIL} is not there: RAPPORT_TEST_DATA names the folder of {RETAIL.name}")
    with gzip.open(RETAIL, "rt", encoding="utf-8-sig", errors="replace", newline="") as lines:
        rows = [row for row in sales(lines) if isinstance(row, Sale)]
    return [CustomerEvent(row.customer_id, orders, row.time, row.data) for row in rows]


def demo_hour() -> Iterator[datetime]:
    """When the simulated shop does something in its first hour, as the demo runs it."""
    return (BEGAN + i * timedelta(seconds=1) / DEMO_RATE for i in range(3_600 * DEMO_RATE))


def year_and_hour() -> Iterator[datetime]:
    """The same after more than a year of trade: all windows, short and long, have nearly all their tiles."""
    yield from (BEGAN + i * YEAR / YEAR_DEEDS for i in range(YEAR_DEEDS))
    yield from (moment + YEAR for moment in demo_hour())


def busiest(moments: Iterable[datetime], customers: int) -> list[CustomerEvent]:
    """The events of the simulated shop's busiest customers; the first is ten times as busy as any other.

    Nobody withdraws: that would make values smaller.
    """
    deeds = SimulatedShop([f"C{n}" for n in range(1, SHOP_CUSTOMERS + 1)], seed=1).actions()
    happened = ((at, deed) for at, deed in zip(moments, deeds, strict=False) if isinstance(deed, CustomerEvent))
    told = [CustomerEvent(deed.customer_id, deed.source, at, deed.data) for at, deed in happened]
    most = {customer for customer, _ in Counter(one.customer_id for one in told).most_common(customers)}
    return [one for one in told if one.customer_id in most]
