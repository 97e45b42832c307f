"""Poison records: they can't be folded. Each must become a dead letter with its reason, and stop nothing."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from featurestore import names
from featurestore.catalog import registry
from featurestore.catalog.support import TicketChange, support
from featurestore.definitions.source import LARGEST_EVENT_BYTES, InvalidEvent
from tests.chaos.customers import Customer
from tests.chaos.environment import PARTITIONS
from tests.chaos.written_events import ORIGIN

TICKET = TicketChange(kind="opened", ticket_id="T0", topic="poison", open_tickets=999)
AHEAD = timedelta(hours=1)


class PoisonRecord(NamedTuple):
    """A record, and the expected reason of its dead letter."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    reason: str


def valid_event(customer: Customer, event_id: str, time: datetime | None = None) -> dict[str, Any]:
    """A valid event, to be changed."""
    raw = support.encode(
        id=event_id, source=ORIGIN, subject=customer.subject, time=time or datetime.now(UTC), data=TICKET
    )
    event: dict[str, Any] = json.loads(raw)
    return event


def changed_event(customer: Customer, event_id: str, **changes: Any) -> bytes:
    return json.dumps(valid_event(customer, event_id) | changes).encode()


def with_data(customer: Customer, event_id: str, **changes: Any) -> bytes:
    event = valid_event(customer, event_id)
    return json.dumps(event | {"data": event["data"] | changes}).encode()


VALUES: dict[str, Callable[[Customer, str], bytes | None]] = {
    "no value": lambda customer, i: None,
    "empty": lambda customer, i: b"",
    "no JSON": lambda customer, i: b"\x00\x01 poison",
    "half an event": lambda customer, i: changed_event(customer, i)[:-20],
    "not UTF-8": lambda customer, i: changed_event(customer, i).replace(b"poison", b"\xff\xfe"),
    "deeply nested": lambda customer, i: b'{"data":' * 5_000,
    "another version": lambda customer, i: changed_event(customer, i, specversion="0.3"),
    "another type": lambda customer, i: changed_event(customer, i, type="shop.order_line"),
    "no identifier": lambda customer, i: changed_event(customer, i, id=""),
    "a raw identifier as the subject": lambda customer, i: changed_event(customer, i, subject=customer.customer_id),
    "no time zone": lambda customer, i: changed_event(customer, i, time="2026-01-01T00:00:00"),
    "before 1970": lambda customer, i: changed_event(customer, i, time="1969-12-31T23:59:59Z"),
    "after 2106": lambda customer, i: changed_event(customer, i, time="2200-01-01T00:00:00Z"),
    "an unknown field": lambda customer, i: with_data(customer, i, text="what the customer wrote"),
    "a missing field": lambda customer, i: changed_event(customer, i, data={"kind": "opened"}),
    "a text as a number": lambda customer, i: with_data(customer, i, open_tickets="three"),
    "a negative count": lambda customer, i: with_data(customer, i, open_tickets=-1),
    "an unknown kind": lambda customer, i: with_data(customer, i, kind="exploded"),
    "a number out of range": lambda customer, i: with_data(customer, i, open_tickets=10**30),
}
"""Values by a name of their defect; the reason of all is ``invalid``."""


def wrong_partition(customer: Customer, event_id: str, generation: int) -> PoisonRecord:
    partition = (customer.partition + 1) % PARTITIONS
    value = changed_event(customer, event_id)
    return PoisonRecord(names.events("support", generation), partition, customer.subject.encode(), value, "misplaced")


def wrong_key(customer: Customer, event_id: str, generation: int) -> PoisonRecord:
    value = changed_event(customer, event_id)
    return PoisonRecord(names.events("support", generation), customer.partition, b"another key", value, "misplaced")


def without_key(customer: Customer, event_id: str, generation: int) -> PoisonRecord:
    value = changed_event(customer, event_id)
    return PoisonRecord(names.events("support", generation), customer.partition, None, value, "misplaced")


def ahead_of_time(customer: Customer, event_id: str, generation: int) -> PoisonRecord:
    value = json.dumps(valid_event(customer, event_id, datetime.now(UTC) + AHEAD)).encode()
    topic = names.events("support", generation)
    return PoisonRecord(topic, customer.partition, customer.subject.encode(), value, "future")


def too_large(customer: Customer, event_id: str, generation: int) -> PoisonRecord:
    value = changed_event(customer, event_id, extension="x" * LARGEST_EVENT_BYTES)
    topic = names.events("support", generation)
    return PoisonRecord(topic, customer.partition, customer.subject.encode(), value, "too_large")


def purge_without_subject(customer: Customer, event_id: str, generation: int) -> PoisonRecord:
    return PoisonRecord(names.purge(generation), customer.partition, b"no subject", event_id.encode(), "invalid")


def invalid(make: Callable[[Customer, str], bytes | None]) -> Callable[[Customer, str, int], PoisonRecord]:
    def record(customer: Customer, event_id: str, generation: int) -> PoisonRecord:
        topic = names.events("support", generation)
        return PoisonRecord(topic, customer.partition, customer.subject.encode(), make(customer, event_id), "invalid")

    return record


def wrong_topic(customer: Customer, event_id: str, generation: int) -> PoisonRecord:
    """A valid event on another source's topic, each in turn: the type is not that topic's."""
    others = [name for name in registry.sources if name != "support"]
    topic = names.events(others[int(event_id[1:]) % len(others)], generation)
    return PoisonRecord(
        topic, customer.partition, customer.subject.encode(), changed_event(customer, event_id), "invalid"
    )


KINDS: dict[str, Callable[[Customer, str, int], PoisonRecord]] = {
    **{name: invalid(make) for name, make in VALUES.items()},
    "on another source's topic": wrong_topic,
    "on another's partition": wrong_partition,
    "under another's key": wrong_key,
    "without a key": without_key,
    "from the future": ahead_of_time,
    "too large": too_large,
    "a purge without a subject": purge_without_subject,
}


def rejection_reason(record: PoisonRecord) -> str | None:
    """Reason for which the topic's source rejects the value; None if only partition, key or time are wrong."""
    source = next((source for source in registry.sources.values() if record.topic.startswith(f"{source.topic}.")), None)
    if source is None or record.value is None:
        return "invalid"
    try:
        source.decode(record.value)
    except InvalidEvent as error:
        return error.reason
    return None
