"""Entry of the audit log: what happened, when, to whom, by whom; and its canonical text."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from featurestore.auditlog.canonical_json import canonical
from featurestore.clock import milliseconds

VERSION = 1


class Entry(NamedTuple):
    """What is appended. ``type`` reads ``area.what_happened``; ``details`` is JSON without fractions.

    ``subject``: the customer whom it is about, by whose erasure the content goes. An entry without one must name no
    customer in its details. ``actor``: who did it: a client, a staff member, ``system``.
    """

    type: str
    at: datetime
    details: Mapping[str, Any]
    actor: str
    subject: str = ""

    @property
    def content(self) -> str:
        """Its canonical JSON. Raises NotCanonical."""
        return canonical(
            {
                "actor": self.actor,
                "at_ms": milliseconds(self.at),
                "details": dict(self.details),
                "subject": self.subject,
                "type": self.type,
                "version": VERSION,
            }
        )


def read_content(content: str) -> dict[str, Any]:
    """The members of an entry's content."""
    told: dict[str, Any] = json.loads(content)
    return told
