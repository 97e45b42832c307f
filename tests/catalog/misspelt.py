"""A catalog with a mistake, for `features check` to find."""

from featurestore.aggregations import Sum
from featurestore.catalog.orders import orders
from featurestore.definitions import FeatureView

spend = FeatureView(
    "spend",
    source=orders,
    purposes={"service"},
    features=[
        Sum("amount").over("30d"),
        Sum("quantty").over("30d"),
    ],
)
