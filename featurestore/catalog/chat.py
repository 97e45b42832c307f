"""Chat: messages between customers, bots and people, without their texts."""

from typing import Annotated, Literal

import msgspec

from featurestore.aggregations import (
    Count,
    DecayedSum,
    Last,
    LastN,
    LastOrNull,
    Mean,
    Min,
    SessionCount,
    TopK,
    Variance,
)
from featurestore.definitions import EventSource, FeatureView, Id, Label, Personal


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Message. ``sentiment`` from -1 (furious) to 1 (delighted) and ``intent`` are scored by the source."""

    author: Literal["customer", "bot", "agent"]
    conversation_id: Personal[Id]
    sentiment: Personal[Annotated[float, msgspec.Meta(ge=-1, le=1)]] | None = None
    intent: Label | None = None


chat = EventSource(
    "chat",
    data=Message,
    type="shop.message",
    owner="support",
    description="Messages, without their text.",
    writable=True,  # a chat engine reports its own conversations
)

CUSTOMER = {"author": "customer"}

mood = FeatureView(
    "mood",
    source=chat,
    purposes={"service"},
    max_age_s=10,
    owner="support",
    description="How the customer feels: now, and compared with lately.",
    features=[
        LastN("sentiment", where=CUSTOMER, n=5).over("7d", name="last_sentiments"),
        Mean("sentiment", where=CUSTOMER).over("15m", "1d", "7d", name="sentiment_mean"),
        Min("sentiment", where=CUSTOMER).over("1d", name="sentiment_worst_1d"),
        Variance("sentiment", where=CUSTOMER).over("7d", name="sentiment_variance_7d"),
        DecayedSum("sentiment", where=CUSTOMER, half_life="10m").over("1d", name="sentiment_trend"),
    ],
)

dialogue = FeatureView(
    "dialogue",
    source=chat,
    purposes={"service", "personalisation"},
    max_age_s=10,
    owner="support",
    description="What the conversation is about, and who is in it.",
    features=[
        Last("intent", where=CUSTOMER).over("1h", name="last_intent"),
        TopK("intent", where=CUSTOMER, k=3).over("1h", "30d", name="intents"),
        Count(where=CUSTOMER).over("15m", "1d", name="customer_messages"),
        Count(where={"author": "agent"}).over("15m", "1d", name="agent_messages"),
        SessionCount(where=CUSTOMER, gap="1h").over("30d", name="conversations_30d"),
    ],
)

asking = FeatureView(
    "asking",
    source=chat,
    purposes={"personalisation"},
    max_age_s=15,
    owner="support",
    description="What the customer's newest message asks for. Null if it asks for nothing that was recognised.",
    features=[LastOrNull("intent", where=CUSTOMER).over("1d", name="current_intent")],
)
