"""Subject of a feature: a keyed hash of one identifier of a customer. Pure.

Subjects leave the database for Kafka, Redis, logs and metrics; e-mails, names and raw identifiers do not.
"""

import hmac
import re
import unicodedata

MAX_IDENTIFIER_LENGTH = 256
SUBJECT_LENGTH = 32
SUBJECT = re.compile(rb"[0-9a-f]{%d}" % SUBJECT_LENGTH)


class IdentifierError(ValueError):
    """Identifier that is not allowed: empty, longer than 256 characters, or with control characters."""


def subject_of(identifier: str, secret: bytes, kind: str = "customer_id") -> str:
    """The subject of one identifier: HMAC-SHA-256 under the installation's secret, 128 bits, 32 hex digits.

    Raises IdentifierError, whose text never repeats the identifier.
    """
    if not identifier or len(identifier) > MAX_IDENTIFIER_LENGTH:
        raise IdentifierError(f"{kind} must have 1 to {MAX_IDENTIFIER_LENGTH} characters, not {len(identifier)}")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in identifier):
        raise IdentifierError(f"{kind} must not hold control characters")
    message = f"{kind}\0{identifier}".encode()
    return hmac.digest(secret, message, "sha256")[:16].hex()


def is_subject(text: bytes) -> bool:
    """Whether a Kafka key, or a part of a Redis key, has the form of a subject."""
    return SUBJECT.fullmatch(text) is not None


def partition_of(subject: str, partitions: int) -> int:
    """The Kafka partition of a subject, in every event, purge and changelog topic.

    Subjects are uniform, so their first 32 bits serve. Every producer passes the partition explicitly.
    """
    return int(subject[:8], 16) % partitions
