"""Names of Kafka topics, changelogs and the consumer group. Pure.

All carry the generation: a topic made anew or repartitioned starts empty, and so do its tables.
"""

from collections.abc import Iterable


def group(generation: int) -> str:
    return f"rapport.g{generation}"


def events(source: str, generation: int) -> str:
    return f"events.{source}.g{generation}"


def changelog(source: str, generation: int) -> str:
    return f"rapport.{source}.changelog.g{generation}"


def purge(generation: int) -> str:
    return f"consent.purge.g{generation}"


def dead_letters(generation: int) -> str:
    return f"dead-letters.g{generation}"


def copartitioned(sources: Iterable[str], generation: int) -> list[str]:
    """Every topic whose partition n must be on the same worker as the others'."""
    names = [name for source in sources for name in (events(source, generation), changelog(source, generation))]
    return [*names, purge(generation)]
