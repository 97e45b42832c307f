"""Names of Kafka topics, changelogs and the consumer group. Pure.

All carry the generation: a topic made anew or repartitioned starts empty, and so do its tables.
"""


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
