"""Poison: records that nobody can fold. Each must become a dead letter with its reason, and stop nothing."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from featurestore import names
from featurestore.catalog import registry
from featurestore.catalog.support import TicketChange, support
from featurestore.definitions.source import LARGEST_EVENT_BYTES, InvalidEvent
from tests.chaos.customers import Customer
from tests.chaos.truth import ORIGIN
from tests.chaos.world import PARTITIONS

TICKET = TicketChange(kind="opened", ticket_id="T0", topic="poison", open_tickets=999)
AHEAD = timedelta(hours=1)


class Poison(NamedTuple):
    """A record that is sent as it is, and the reason that its dead letter must have."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    reason: str


def ticket(customer: Customer, event_id: str, time: datetime | None = None) -> dict[str, Any]:
    """A sound event, to be spoilt."""
    raw = support.encode(
        id=event_id, source=ORIGIN, subject=customer.subject, time=time or datetime.now(UTC), data=TICKET
    )
    event: dict[str, Any] = json.loads(raw)
    return event


def spoilt(customer: Customer, event_id: str, **changes: Any) -> bytes:
    return json.dumps(ticket(customer, event_id) | changes).encode()


def with_data(customer: Customer, event_id: str, **changes: Any) -> bytes:
    event = ticket(customer, event_id)
    return json.dumps(event | {"data": event["data"] | changes}).encode()


VALUES: dict[str, Callable[[Customer, str], bytes | None]] = {
    "no value": lambda customer, i: None,
    "empty": lambda customer, i: b"",
    "no JSON": lambda customer, i: b"\x00\x01 poison",
    "half an event": lambda customer, i: spoilt(customer, i)[:-20],
    "not UTF-8": lambda customer, i: spoilt(customer, i).replace(b"poison", b"\xff\xfe"),
    "nested without end": lambda customer, i: b'{"data":' * 5_000,
    "another version": lambda customer, i: spoilt(customer, i, specversion="0.3"),
    "another type": lambda customer, i: spoilt(customer, i, type="shop.order_line"),
    "no identifier": lambda customer, i: spoilt(customer, i, id=""),
    "a raw identifier for a subject": lambda customer, i: spoilt(customer, i, subject=customer.customer_id),
    "no time zone": lambda customer, i: spoilt(customer, i, time="2026-01-01T00:00:00"),
    "before 1970": lambda customer, i: spoilt(customer, i, time="1969-12-31T23:59:59Z"),
    "after 2106": lambda customer, i: spoilt(customer, i, time="2200-01-01T00:00:00Z"),
    "an unknown field": lambda customer, i: with_data(customer, i, text="what the customer wrote"),
    "a missing field": lambda customer, i: spoilt(customer, i, data={"kind": "opened"}),
    "a text for a number": lambda customer, i: with_data(customer, i, open_tickets="three"),
    "a negative count": lambda customer, i: with_data(customer, i, open_tickets=-1),
    "an unknown kind": lambda customer, i: with_data(customer, i, kind="exploded"),
    "a number without measure": lambda customer, i: with_data(customer, i, open_tickets=10**30),
}
"""What is wrong with a value, by what one would call it; ``invalid`` all of them."""


def misplaced_partition(customer: Customer, event_id: str, generation: int) -> Poison:
    partition = (customer.partition + 1) % PARTITIONS
    value = spoilt(customer, event_id)
    return Poison(names.events("support", generation), partition, customer.subject.encode(), value, "misplaced")


def misplaced_key(customer: Customer, event_id: str, generation: int) -> Poison:
    value = spoilt(customer, event_id)
    return Poison(names.events("support", generation), customer.partition, b"somebody else", value, "misplaced")


def without_key(customer: Customer, event_id: str, generation: int) -> Poison:
    value = spoilt(customer, event_id)
    return Poison(names.events("support", generation), customer.partition, None, value, "misplaced")


def from_the_future(customer: Customer, event_id: str, generation: int) -> Poison:
    value = json.dumps(ticket(customer, event_id, datetime.now(UTC) + AHEAD)).encode()
    topic = names.events("support", generation)
    return Poison(topic, customer.partition, customer.subject.encode(), value, "future")


def too_large(customer: Customer, event_id: str, generation: int) -> Poison:
    value = spoilt(customer, event_id, extension="x" * LARGEST_EVENT_BYTES)
    topic = names.events("support", generation)
    return Poison(topic, customer.partition, customer.subject.encode(), value, "too_large")


def purge_of_nobody(customer: Customer, event_id: str, generation: int) -> Poison:
    return Poison(names.purge(generation), customer.partition, b"nobody", event_id.encode(), "invalid")


def invalid(make: Callable[[Customer, str], bytes | None]) -> Callable[[Customer, str, int], Poison]:
    def poison(customer: Customer, event_id: str, generation: int) -> Poison:
        topic = names.events("support", generation)
        return Poison(topic, customer.partition, customer.subject.encode(), make(customer, event_id), "invalid")

    return poison


def elsewhere(customer: Customer, event_id: str, generation: int) -> Poison:
    """A sound event on each other source's topic in turn: its type is not that topic's."""
    others = [name for name in registry.sources if name != "support"]
    topic = names.events(others[int(event_id[1:]) % len(others)], generation)
    return Poison(topic, customer.partition, customer.subject.encode(), spoilt(customer, event_id), "invalid")


KINDS: dict[str, Callable[[Customer, str, int], Poison]] = {
    **{name: invalid(make) for name, make in VALUES.items()},
    "on another source's topic": elsewhere,
    "on another's partition": misplaced_partition,
    "under another's key": misplaced_key,
    "without a key": without_key,
    "from the future": from_the_future,
    "too large": too_large,
    "a purge of nobody": purge_of_nobody,
}


def refusal(made: Poison) -> str | None:
    """Why its topic's source can't read it, in one word; None if only place or time are wrong."""
    source = next((source for source in registry.sources.values() if made.topic.startswith(f"{source.topic}.")), None)
    if source is None or made.value is None:
        return "invalid"
    try:
        source.decode(made.value)
    except InvalidEvent as error:
        return error.reason
    return None
