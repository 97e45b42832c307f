"""Customers whose features are weighed: those of the retail data, and the simulated shop's busiest."""

import gzip
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from adminsite.demo.shop import Happening, Shop
from bench.report import ROOT
from featurestore.catalog.orders import orders
from featurestore.catalog.retail import Sale, sales
from featurestore.definitions import EventSource

RETAIL = (
    Path(os.environ.get("RAPPORT_TEST_DATA", ROOT.parent / "shared" / "data"))
    / "online_retail_2010-12_to_2011-05.csv.gz"
)

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
SHOP_CUSTOMERS = 40  # as in the demo
QUIET_DAYS = 400  # the longest window
LAST_HOUR_RATE = 20  # deeds a second, as the demo does them


class Told(NamedTuple):
    """An event of one customer."""

    customer_id: str
    source: EventSource
    at: datetime
    data: msgspec.Struct


def retail() -> Iterator[Told]:
    """Every event of the retail data, in the file's order."""
    with gzip.open(RETAIL, "rt", encoding="utf-8-sig", errors="replace", newline="") as lines:
        for row in sales(lines):
            if isinstance(row, Sale):
                yield Told(row.customer_id, orders, row.time, row.data)


def shop(busiest: int, quiet_deeds: int = 300_000, seed: int = 1) -> list[Told]:
    """The events of the simulated shop's busiest customers, who never withdraw.

    The shop is open for 400 days, so that every window has all its tiles; in the last hour it is as busy as the demo,
    so that the shortest windows are full too.
    """
    told = list(story(quiet_deeds, seed))
    most = {customer for customer, _ in Counter(one.customer_id for one in told).most_common(busiest)}
    return [one for one in told if one.customer_id in most]


def story(quiet_deeds: int, seed: int) -> Iterator[Told]:
    """What happens in the shop, and when."""
    deeds = Shop([f"C{n}" for n in range(1, SHOP_CUSTOMERS + 1)], seed).deeds()
    quiet = (BEGAN + i * timedelta(days=QUIET_DAYS) / quiet_deeds for i in range(quiet_deeds))
    busy_from = BEGAN + timedelta(days=QUIET_DAYS)
    busy = (busy_from + i * timedelta(seconds=1) / LAST_HOUR_RATE for i in range(3_600 * LAST_HOUR_RATE))
    for at, deed in zip(itertools.chain(quiet, busy), deeds, strict=False):
        if isinstance(deed, Happening):
            yield Told(deed.customer_id, deed.source, at, deed.data)
