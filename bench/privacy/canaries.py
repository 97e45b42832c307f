"""What is searched for: a customer's identifier, subject and canary; of what is encrypted, or names nobody, its row.

Which of them each data location must hold before the erasure is stated here, one line a location.
"""

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg

from devservers.file_search.encodings import Needle, bytes_needle, needle_of

SUBJECT, IDENTIFIER, CANARY, ROW = "subject", "identifier", "canary", "row"
EXPECTED: dict[str, tuple[str, ...]] = {
    "customers": (IDENTIFIER, SUBJECT),
    "permissions": (ROW,),
    "consent_records": (CANARY,),
    "permission_states": (ROW,),
    "audit_log": (SUBJECT, CANARY),
    "permission_changes": (SUBJECT,),
    "versioned_denials": (SUBJECT,),
    "kept_denials": (SUBJECT, CANARY),
    "consent_journal": (SUBJECT,),
    "purges": (SUBJECT,),
    "passed_by": (SUBJECT,),
    "store": (SUBJECT,),
    "events": (SUBJECT, CANARY),
    "dead_letter_topic": (SUBJECT, CANARY),
    "dead_letters": (SUBJECT,),
    "state_tables": (SUBJECT,),
    "changelogs": (SUBJECT,),
    "access_records": (SUBJECT,),
    "access_stream": (SUBJECT,),
    "audit_findings": (SUBJECT,),
    "legal_holds": (SUBJECT,),
    "emergency_accesses": (SUBJECT, CANARY),
    "contacts": (SUBJECT, ROW),
    "subject_keys": (SUBJECT,),
    "subject_requests": (SUBJECT, IDENTIFIER, ROW),
    "request_events": (ROW,),
    "clock_pauses": (ROW,),
    "verification_codes": (ROW,),
    "customer_messages": (ROW,),
    "exports": (ROW,),
}
ENCRYPTED = ("contacts", "subject_requests", "customer_messages", "exports")
"""Locations in whose files the canary must never stand as it is: their texts are encrypted."""
PROOF = ("permission_states", "request_events", "clock_pauses")
"""Locations whose rows stay as proof of a permission or a request that names nobody any more."""
SCOPED = ("permissions",)
"""Locations whose rows are known by a time, which other tables may rightly hold."""
POSTGRES_EPOCH_US = 946_684_800_000_000
REQUESTS = "(SELECT id FROM requests_subjectrequest WHERE subject = %(subject)s)"
ROWS: dict[str, str] = {
    "permissions": "SELECT since FROM consent_currentpermission WHERE customer_id = %(key)s",
    "permission_states": "SELECT at FROM consent_permissionstate WHERE customer_id = %(key)s",
    "contacts": "SELECT address FROM requests_contact WHERE subject = %(subject)s",
    "subject_requests": "SELECT details FROM requests_subjectrequest WHERE subject = %(subject)s",
    "request_events": f"SELECT at FROM requests_requestevent WHERE request_id IN {REQUESTS}",
    "clock_pauses": f"SELECT began_at FROM requests_clockpause WHERE request_id IN {REQUESTS}",
    "verification_codes": f"SELECT digest FROM requests_verificationcode WHERE request_id IN {REQUESTS}",
    "customer_messages": f"SELECT text FROM requests_customermessage WHERE request_id IN {REQUESTS}",
    "exports": f"SELECT name FROM exports_dataexport WHERE request_id IN {REQUESTS}",
}
CIPHERTEXT = slice(20, 100)
"""Of an encrypted text: behind version and time, which others have, too."""


class Person(NamedTuple):
    """A customer whose traces are searched for. ``canary``: a text that only their data has."""

    identifier: str
    subject: str
    canary: str

    def needles(self) -> list[Needle]:
        """What is searched for everywhere."""
        return [
            needle_of(IDENTIFIER, self.identifier),
            needle_of(SUBJECT, self.subject, bytes.fromhex(self.subject)),
            needle_of(CANARY, self.canary),
        ]


def row_needles(database_url: str, person: Person) -> Mapping[str, list[Needle]]:
    """The bytes by which rows are known that name the person by no text, by data location."""
    with psycopg.connect(database_url) as database:
        found = database.execute("SELECT id FROM customers_customer WHERE subject = %s", (person.subject,)).fetchone()
        facts = {"subject": person.subject, "key": found[0] if found else 0}
        return {
            location: [bytes_needle(ROW, raw_of(value)) for (value,) in database.execute(query, facts) if value]
            for location, query in ROWS.items()
        }


def raw_of(value: Any) -> bytes:
    """A column's value as it stands in a row: times are microseconds since the year 2000."""
    if isinstance(value, str):
        return value.encode()[CIPHERTEXT] if len(value) > CIPHERTEXT.stop else value.encode()
    return struct.pack("<q", round(value.timestamp() * 1_000_000) - POSTGRES_EPOCH_US)
