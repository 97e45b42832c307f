"""Names of Kafka topics, changelogs and the consumer group. Pure.

All have the generation in them: topics of a new generation start empty, and so do their tables.
"""

import re

PREFIXES = ("events.", "rapport.", "consent.purge.", "dead-letters.")  # of all topics


def group(generation: int) -> str:
    return f"rapport.g{generation}"


def events(source: str, generation: int) -> str:
    return f"events.{source}.g{generation}"


def source_of(topic: str) -> str | None:
    """The source whose events a topic of any generation holds; None for a topic of anything else.

    >>> source_of(events("orders", 3)), source_of(purge(3))
    ('orders', None)
    """
    found = re.fullmatch(r"events\.(.+)\.g\d+", topic)
    return found and found[1]


def changelog(source: str, generation: int) -> str:
    return f"rapport.{source}.changelog.g{generation}"


def purge(generation: int) -> str:
    return f"consent.purge.g{generation}"


def dead_letters(generation: int) -> str:
    return f"dead-letters.g{generation}"


def clock(generation: int) -> str:
    return f"rapport.clock.g{generation}"
