"""Data locations of a process without Kafka and without a control Redis: those that need one are in memory."""

from datetime import timedelta
from typing import Any

import pytest

from featurestore.locations import AT_ONCE, registry
from featurestore.row_locations import data_locations
from tests.kit.erasures import MemoryLocation

STATED_TIME = timedelta(days=40)
"""So long topics keep what they hold."""
TOPICS = ("consent_journal", "dead_letter_topic", "events", "passed_by", "purges", "changelogs")
OTHERS = ("access_stream", "state_tables")


class TopicInMemory(MemoryLocation):
    """A location in memory with the title of the one that it stands for."""

    title = ""


def topics_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the locations that need a server which a test lacks; the others are the installation's own."""
    found: dict[str, Any] = {one.name: one for one in data_locations().in_order()}
    for name in (*TOPICS, *OTHERS):
        real = found[name]
        made = TopicInMemory(name, stays=STATED_TIME if name in TOPICS else AT_ONCE, erased_after=real.erased_after)
        made.title, made.derived_from = real.title, real.derived_from  # type: ignore[misc]
        found[name] = made
    monkeypatch.setattr(registry, "_locations", found)
