"""Profile: attributes that a customer states, as far as a conversation needs them."""

from typing import Literal

import msgspec

from featurestore.aggregations import Count, First, Last, TimeSinceLast
from featurestore.definitions import EventSource, FeatureView, Label


class ProfileUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change of a profile. ``language`` is a BCP 47 tag. No name, address or birthday belongs here."""

    tier: Literal["bronze", "silver", "gold"] | None = None
    language: Label | None = None
    newsletter: bool | None = None


profile = EventSource(
    "profile", data=ProfileUpdate, type="shop.profile", owner="crm", description="Changes of profiles."
)

about = FeatureView(
    "about",
    source=profile,
    purposes={"service", "personalisation"},
    max_age_s=300,
    owner="crm",
    description="Whom one is talking to, and in which language.",
    features=[
        Last("tier").over("lifetime", name="tier", default="bronze"),
        First("tier").over("lifetime", name="first_tier"),
        Last("language").over("lifetime", name="language", default="en"),
        Last("newsletter").over("lifetime", name="newsletter", default=False),
        TimeSinceLast("tier").over("lifetime", name="seconds_since_tier"),
        Count().over("lifetime", name="profile_updates"),
    ],
)
