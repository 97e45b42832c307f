"""Support: tickets that a customer opens, reopens and sees solved."""

from typing import Annotated, Literal

import msgspec

from featurestore.aggregations import Count, Last, Mean, TimeSinceLast, TopK
from featurestore.definitions import EventSource, FeatureView, Id, Label, Personal, unit


class TicketChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change of a ticket. ``open_tickets`` is the number of the customer's open tickets after it.

    ``solved_after_s`` is the time since the ticket was first opened, if it is solved now.
    """

    kind: Literal["opened", "reopened", "solved"]
    ticket_id: Personal[Id]
    topic: Label
    open_tickets: Annotated[int, msgspec.Meta(ge=0)]
    solved_after_s: Annotated[int, msgspec.Meta(ge=0), unit("s")] | None = None


support = EventSource(
    "support", data=TicketChange, type="shop.ticket", owner="support", description="Tickets as the help desk sees them."
)

OPENED = {"kind": "opened"}
REOPENED = {"kind": "reopened"}
SOLVED = {"kind": "solved"}

tickets = FeatureView(
    "tickets",
    source=support,
    purposes={"service"},
    max_age_s=30,
    owner="support",
    description="What is open, what came back, and how well we did.",
    features=[
        Last("open_tickets").over("lifetime", name="tickets_open", default=0),
        Last("topic", where={"kind": ["opened", "reopened"]}).over("30d", name="last_ticket_topic"),
        TimeSinceLast(where={"kind": ["opened", "reopened"]}).over("30d", name="seconds_since_ticket"),
        Count(where=OPENED).over("7d", "30d", "365d", name="tickets_opened"),
        Count(where=REOPENED).over("7d", "30d", "365d", name="tickets_reopened"),
        Count(where=SOLVED).over("30d", "365d", name="tickets_solved"),
        Mean("solved_after_s", where=SOLVED).over("365d", name="ticket_mean_s_365d"),
    ],
)

complaints = FeatureView(
    "complaints",
    source=support,
    purposes={"service", "analytics"},
    max_age_s=300,
    owner="support",
    description="What goes wrong for this customer.",
    features=[TopK("topic", where={"kind": ["opened", "reopened"]}, k=3).over("365d", name="ticket_topics")],
)
