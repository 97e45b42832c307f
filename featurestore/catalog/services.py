"""Services: the views for each kind of conversation."""

from featurestore.catalog.behavior import browsing, cart, visits
from featurestore.catalog.chat import asking, dialogue, mood
from featurestore.catalog.orders import loyalty, order_risk, returns, spend, taste
from featurestore.catalog.profile import about
from featurestore.catalog.support import complaints, tickets
from featurestore.definitions import FeatureService

support_chat = FeatureService(
    "support_chat",
    [about, spend, loyalty, returns, tickets, complaints, mood, dialogue, cart],
    purpose="service",
    owner="support",
    description="A bot or a person answers a customer who needs help.",
)

sales_chat = FeatureService(
    "sales_chat",
    [about, spend, loyalty, taste, browsing, cart, visits, dialogue, asking],
    purpose="personalisation",
    owner="shop",
    description="A bot helps a customer to find and decide.",
)

fraud_check = FeatureService(
    "fraud_check", [order_risk], purpose="fraud", owner="payments", description="Before an order is paid."
)

shop_insight = FeatureService(
    "shop_insight", [visits, complaints], purpose="analytics", owner="web", description="How the shop is used."
)
