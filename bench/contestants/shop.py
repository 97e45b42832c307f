"""The job's definitions, for our worker."""

from typing import Literal

import msgspec

from featurestore.aggregations import Count, Sum
from featurestore.definitions import EventSource, FeatureService, FeatureView, Money, Registry

WINDOWS = ("1h", "1d", "30d")


class Sale(msgspec.Struct, forbid_unknown_fields=True):
    kind: Literal["completed", "returned"]
    amount: Money


sales = EventSource("sales", data=Sale, type="bench.sale")
spend = FeatureView(
    "spend",
    source=sales,
    purposes={"service"},
    features=[Sum("amount").over(*WINDOWS), Count().over(*WINDOWS)],
)
chat = FeatureService("chat", [spend], purpose="service")
registry = Registry([sales, spend, chat])
