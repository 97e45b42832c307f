"""Behavior: the pages and products that a visitor looks at, and the cart."""

from typing import Annotated, Literal

import msgspec

from featurestore.aggregations import (
    Count,
    DecayedCount,
    DistinctCount,
    Last,
    LastN,
    SessionCount,
    SessionMeanDuration,
    Sum,
    TimeSinceLast,
    TopK,
)
from featurestore.definitions import EventSource, FeatureView, Label, Money, unit


class Act(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action of a visitor. ``amount`` is the price of an item put into the cart or taken out, always positive."""

    kind: Literal["page_view", "search", "add_to_cart", "remove_from_cart", "checkout"]
    category: Label | None = None
    sku: Label | None = None
    amount: Annotated[Money, unit("GBP")] | None = None


behavior = EventSource(
    "behavior", data=Act, type="shop.act", owner="web", description="Pages, searches and carts on web and app."
)

ADDED = {"kind": "add_to_cart"}
REMOVED = {"kind": "remove_from_cart"}
VIEWED = {"kind": "page_view"}

cart = FeatureView(
    "cart",
    source=behavior,
    purposes={"service", "personalisation"},
    max_age_s=15,
    owner="web",
    description="Cart intent: what the customer is about to buy, or has just thought better of.",
    features=[
        Count(where=ADDED).over("15m", "1d", name="cart_added"),
        Count(where=REMOVED).over("15m", "1d", name="cart_removed"),
        Sum("amount", where=ADDED).over("15m", "1d", name="cart_added_amount"),
        Last("sku", where=ADDED).over("1d", name="cart_last_sku"),
        TimeSinceLast(where=ADDED).over("1d", name="seconds_since_cart"),
        TimeSinceLast(where={"kind": "checkout"}).over("1d", name="seconds_since_checkout"),
        DecayedCount(where=ADDED, half_life="1h").over("1d", name="cart_intent"),
    ],
)

browsing = FeatureView(
    "browsing",
    source=behavior,
    purposes={"personalisation"},
    max_age_s=15,
    owner="web",
    description="What the customer is looking at now.",
    features=[
        Count(where=VIEWED).over("5m", "1h", "7d", name="page_views"),
        DistinctCount("category", where=VIEWED).over("1h", "7d", name="categories_viewed"),
        TopK("category", where=VIEWED, k=3).over("1h", "7d", name="viewed_categories"),
        LastN("sku", where=VIEWED, n=5).over("1h", name="last_viewed"),
        Last("category", where={"kind": ["page_view", "search"]}).over("1h", name="looking_for"),
    ],
)

visits = FeatureView(
    "visits",
    source=behavior,
    purposes={"analytics", "personalisation"},
    max_age_s=300,
    owner="web",
    description="How often and how long the customer visits. A pause of half an hour ends a visit.",
    features=[
        SessionCount(gap="30m").over("7d", "30d", name="visits"),
        SessionMeanDuration(gap="30m").over("7d", "30d", name="visit_mean_s"),
        TimeSinceLast().over("30d", name="seconds_since_visit"),
    ],
)
