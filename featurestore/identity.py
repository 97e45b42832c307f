"""Who a feature belongs to: the *subject*, a keyed hash of one identifier. Pure.

No e-mail, name or raw identifier leaves the database for Kafka, Redis, logs or metrics; a subject does.
"""

import hmac
import re
import unicodedata

MAX_IDENTIFIER_LENGTH = 256
SUBJECT_LENGTH = 32
SUBJECT = re.compile(rb"[0-9a-f]{%d}" % SUBJECT_LENGTH)


class IdentifierError(ValueError):
    """An identifier that can't name anybody: empty, longer than 256 characters, or with control characters."""


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


def is_subject(found: bytes) -> bool:
    """Whether bytes from outside, a Kafka key or a part of a Redis key, name a subject."""
    return SUBJECT.fullmatch(found) is not None


def partition_of(subject: str, partitions: int) -> int:
    """The Kafka partition (of every event, purge and changelog topic) that holds a subject.

    Subjects are uniform, so their first 32 bits serve; every producer of ours passes the partition explicitly.
    """
    return int(subject[:8], 16) % partitions
