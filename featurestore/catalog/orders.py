"""Orders: the lines that a customer buys and returns."""

from typing import Annotated, Literal

import msgspec

from featurestore.aggregations import (
    Count,
    DecayedSum,
    DistinctCount,
    First,
    Last,
    Max,
    Mean,
    Quantile,
    StdDev,
    Sum,
    TimeSinceLast,
    TopK,
)
from featurestore.definitions import EventSource, FeatureView, Id, Label, Money, Personal, unit


class OrderLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Line of an order, completed or returned.

    ``amount`` is what the customer pays for the whole line, and ``quantity`` how many pieces come: both are negative
    for a return. So their sums are the money and the pieces that were not returned.
    """

    kind: Literal["completed", "returned"]
    order_id: Personal[Id]
    sku: Label
    quantity: int
    amount: Annotated[Money, unit("GBP")]
    category: Label | None = None


orders = EventSource(
    "orders",
    data=OrderLine,
    type="shop.order_line",
    owner="shop",
    description="Lines of completed and returned orders.",
)

COMPLETED = {"kind": "completed"}
RETURNED = {"kind": "returned"}

spend = FeatureView(
    "spend",
    source=orders,
    purposes={"service", "personalisation"},
    max_age_s=60,
    owner="shop",
    description="Monetary value: what the customer paid, less what went back.",
    features=[
        Sum("amount").over("1h", "1d", "30d", "365d"),  # spend_amount_sum_30d
        Mean("amount", where=COMPLETED).over("30d", "365d", name="spend_line_mean"),
        Max("amount", where=COMPLETED).over("365d", name="spend_line_max_365d"),
    ],
)

loyalty = FeatureView(
    "loyalty",
    source=orders,
    purposes={"service", "personalisation"},
    max_age_s=60,
    owner="shop",
    description="The whole relation: how recent, how it began, what it is worth.",
    features=[
        TimeSinceLast(where=COMPLETED).over("lifetime", name="seconds_since_order"),
        Sum("amount").over("lifetime", name="lifetime_value"),
        DecayedSum("amount", half_life="90d").over("lifetime", name="lifetime_value_decayed"),
        First("category", where=COMPLETED).over("lifetime", name="first_category"),
        Last("order_id", where=COMPLETED).over("lifetime", name="last_order_id"),
    ],
)

taste = FeatureView(
    "taste",
    source=orders,
    purposes={"personalisation"},
    max_age_s=300,
    owner="shop",
    description="What the customer likes to buy, how often, and at what price.",
    features=[
        DistinctCount("order_id", where=COMPLETED).over("90d", "365d", name="orders"),  # frequency: orders_90d
        TopK("category", where=COMPLETED, k=3).over("90d", "365d", name="favourite_categories"),
        TopK("sku", where=COMPLETED, k=5).over("365d", name="favourite_products"),
        DistinctCount("category", where=COMPLETED).over("365d", name="categories_bought"),
        Quantile("amount", where=COMPLETED, q=0.5).over("365d", name="usual_line_amount"),
    ],
)

returns = FeatureView(
    "returns",
    source=orders,
    purposes={"service"},
    max_age_s=60,
    owner="shop",
    description="What came back lately.",
    features=[
        Count(where=RETURNED).over("7d", "90d", name="returns"),  # returns_90d
        Sum("amount", where=RETURNED).over("90d", name="refunded_90d"),  # negative: money out
        Last("sku", where=RETURNED).over("90d", name="last_returned_sku"),
        TimeSinceLast(where=RETURNED).over("90d", name="seconds_since_return"),
    ],
)

order_risk = FeatureView(
    "order_risk",
    source=orders,
    purposes={"fraud"},
    max_age_s=30,
    owner="payments",
    description="Bursts of orders, and amounts unlike this customer's.",
    features=[
        Count(where=COMPLETED).over("1m", "10m", "1d", name="order_lines"),
        Sum("amount", where=COMPLETED).over("10m", "1d", name="ordered"),
        Max("amount", where=COMPLETED).over("1d", name="largest_line_1d"),
        StdDev("amount", where=COMPLETED).over("90d", name="line_amount_spread_90d"),
        Sum("quantity", where=RETURNED).over("90d", name="pieces_returned_90d"),
    ],
)
