"""Subject of a feature: a keyed hash of one identifier of a customer. Pure.

Subjects leave the database for Kafka, Redis, logs and metrics; e-mails, names and raw identifiers do not.
"""

import hmac
import re
import unicodedata

MAX_IDENTIFIER_LENGTH = 256
SUBJECT_LENGTH = 32
SUBJECT = re.compile(rb"[0-9a-f]{%d}" % SUBJECT_LENGTH)

CONTROL = r"\u0000-\u001f\u007f-\u009f"
INVISIBLE = (
    r"\u0020\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800"
    r"\u3000\u3164\ufeff\uffa0\ufff0-\ufff8"
)
"""Characters of Unicode's properties White_Space and Default_Ignorable_Code_Point, and the blank of Braille, as a
regular expression's class. A list, so that every version of Python decides alike. Variation selectors and tags are
no part of it: an emoji may end with them.
"""
PATTERN = rf"^[^{CONTROL}{INVISIBLE}]([^{CONTROL}]*[^{CONTROL}{INVISIBLE}])?$"
"""What a schema can state of an identifier: all but its normal form."""
_invisible = re.compile(f"[{INVISIBLE}]")


class IdentifierError(ValueError):
    """Identifier that is not allowed. The message names the rule and the place, and never repeats the identifier."""


def check_identifier(identifier: str, kind: str = "customer_id") -> None:
    """Refuse an identifier that is empty or too long, has control characters, begins or ends with white space or an
    invisible character, or is not in normal form C. Raises IdentifierError.

    >>> check_identifier("C1"), check_identifier("Ann Lee"), check_identifier("Zoë")
    (None, None, None)
    >>> check_identifier("C1" + chr(0xa0))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    IdentifierError: customer_id must not end with white space or an invisible character: U+00A0
    """
    if not identifier or len(identifier) > MAX_IDENTIFIER_LENGTH:
        raise IdentifierError(f"{kind} must have 1 to {MAX_IDENTIFIER_LENGTH} characters, not {len(identifier)}")
    if is_plain(identifier):
        return
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in identifier):
        raise IdentifierError(f"{kind} must not hold control characters")
    check_spelling(identifier, kind)


def check_spelling(identifier: str, kind: str) -> None:
    """Refuse two spellings of an identifier that look alike, as ``check_identifier``. Raises IdentifierError."""
    for where, character in (("begin", identifier[0]), ("end", identifier[-1])):
        if character.isspace() or _invisible.match(character):
            code_point = f"U+{ord(character):04X}"
            raise IdentifierError(f"{kind} must not {where} with white space or an invisible character: {code_point}")
    if not unicodedata.is_normalized("NFC", identifier):
        raise IdentifierError(
            f"{kind} must be in Unicode's normal form C (NFC): a letter and its accent are one character"
        )


def strip_invisible(text: str) -> str:
    """A text without white space and invisible characters at its ends.

    >>> strip_invisible(" C1" + chr(0xa0) + chr(0x200b))
    'C1'
    """
    while text and (text[0].isspace() or _invisible.match(text[0])):
        text = text[1:]
    while text and (text[-1].isspace() or _invisible.match(text[-1])):
        text = text[:-1]
    return text


def is_plain(text: str) -> bool:
    """Whether a text has only visible ASCII characters, as most identifiers: no other check could refuse one."""
    return text.isascii() and text.isprintable() and " " not in text


def subject_of(identifier: str, secret: bytes, kind: str = "customer_id") -> str:
    """The subject of one identifier: HMAC-SHA-256 under the installation's secret, 128 bits, 32 hex digits.

    Raises IdentifierError, as ``check_identifier``.
    """
    check_identifier(identifier, kind)
    return hash_identifier(identifier, secret, kind)


def hash_identifier(identifier: str, secret: bytes, kind: str = "customer_id") -> str:
    """The subject of an identifier that is stored already, or that is searched for: of any text."""
    message = f"{kind}\0{identifier}".encode(errors="surrogatepass")
    return hmac.digest(secret, message, "sha256")[:16].hex()


def pseudonym_of(subject: str, secret: bytes, number: int = 0) -> str:
    """What the rows that outlive an erasure have in place of a subject. It has a subject's form, and is nobody's.

    Whoever knows the identifier and the secret finds the rows by it, which are the proof of what the customer decided.
    ``number``: of a customer who was registered and erased again, how often before.
    """
    return hash_identifier(f"{subject}/{number}", secret, "erased")


def is_subject(text: bytes) -> bool:
    """Whether a Kafka key, or a part of a Redis key, has the form of a subject."""
    return SUBJECT.fullmatch(text) is not None


def partition_of(subject: str, partitions: int) -> int:
    """The Kafka partition of a subject, in every event, purge and changelog topic.

    Subjects are uniform, so their first 32 bits serve. Every producer passes the partition explicitly.
    """
    return int(subject[:8], 16) % partitions
