"""A message as it leaves: what every way of delivery gets."""

from typing import NamedTuple


class Outgoing(NamedTuple):
    """A message to one address. ``id``: the same for each attempt, so that a receiver knows a repeat."""

    id: str
    reference: str
    kind: str
    language: str
    address: str
    subject: str
    text: str


class DeliveryFailed(Exception):
    """A message that was not taken: try again later. The text says why, and names no address."""
