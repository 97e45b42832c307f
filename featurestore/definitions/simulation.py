"""Actions of simulated customers, as the module ``simulation`` of a catalog yields them for the demo. Pure.

That module has ``actions(customer_ids, random)``, which yields without end, and ``SHOWN``. A catalog without it gets
random events.
"""

from typing import Literal, NamedTuple

import msgspec

from featurestore.definitions.source import EventSource


class CustomerEvent(NamedTuple):
    """An event of one customer."""

    customer_id: str
    source: EventSource
    data: msgspec.Struct


class ConsentDecision(NamedTuple):
    """A customer's decision about one purpose."""

    customer_id: str
    purpose: str
    decision: Literal["given", "withdrawn"]


Action = CustomerEvent | ConsentDecision


class ShownFeatures(NamedTuple):
    """A service and some of its features, which the demo's instructions read."""

    service: str
    features: tuple[str, ...]
