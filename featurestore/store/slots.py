"""Hash slots of a Redis Cluster: the slot of a subject, and the notation for the slots of a primary. Pure.

Equal sets of slots have equal texts: ``0-5460,8000-8000``. A single server's text is empty, which means every slot.

    >>> format_slots([(4, 4), (0, 3), (20, 20)])
    '0-4,20-20'
    >>> sorted(parse_slots("0-2,20-20"))
    [0, 1, 2, 20]
"""

from binascii import crc_hqx  # the CRC-16 of the cluster's specification
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

SLOTS = 16384


def slot_of(hash_tag: str) -> int:
    """The slot of every key with this hash tag; a subject is its own."""
    return crc_hqx(hash_tag.encode(), 0) % SLOTS


def format_slots(ranges: Iterable[tuple[int, int]]) -> str:
    """The text of ranges, first and last slot of each, in any order."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = joined[-1][0], last
        else:
            joined.append((first, last))
    return ",".join(f"{first}-{last}" for first, last in joined)


@lru_cache(maxsize=64)
def parse_slots(slots: str) -> frozenset[int]:
    """The slots in a text."""
    if not slots:
        return frozenset(range(SLOTS))
    ranges = (part.split("-") for part in slots.split(","))
    return frozenset(slot for first, last in ranges for slot in range(int(first), int(last) + 1))


def overlap(slots: str, others: str) -> bool:
    """Whether two texts have a slot in common."""
    return not parse_slots(slots).isdisjoint(parse_slots(others))


@lru_cache(maxsize=64)
def hash_tag(slots: str) -> str:
    """The hash tag of the keys that a primary with these slots keeps about itself: the first number in one of them."""
    return next(tag for tag in map(str, count()) if slot_of(tag) in parse_slots(slots))


class Primary(NamedTuple):
    """A primary in an answer to CLUSTER SLOTS. ``host`` is empty where it is the server that was asked."""

    host: str
    port: int
    slots: str


def parse_primaries(reply: Sequence[Any]) -> dict[bytes, Primary]:
    """The primaries in an answer to CLUSTER SLOTS, by node id: of each row the first server after its slots."""
    ranges: dict[bytes, list[tuple[int, int]]] = {}
    addresses: dict[bytes, tuple[str, int]] = {}
    for first, last, (host, port, node_id, *_), *_replicas in reply:
        ranges.setdefault(node_id, []).append((first, last))
        addresses[node_id] = "" if host in (None, b"?") else host.decode(), port
    return {node_id: Primary(*addresses[node_id], format_slots(owned)) for node_id, owned in ranges.items()}
