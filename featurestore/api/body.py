"""Decoder of request bodies: JSON, decoded strictly into a struct. Messages name the wrong field, never a value."""

import codecs
import json
import re
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from featurestore.api.errors import Malformed, TooLarge
from featurestore.identity import MAX_IDENTIFIER_LENGTH, PATTERN, IdentifierError, subject_of

LARGEST_BODY_BYTES = 64 * 1024
BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
GZIP = b"\x1f\x8b"
NO_MATCH = "Expected `str` matching regex "
PATH_SUFFIX = re.compile(r" - at `\$[^`]*`$")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Identifier = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=MAX_IDENTIFIER_LENGTH,
        description="The shop's own id of a customer, in Unicode's normal form C (NFC): without control characters, "
        "and without white space or invisible characters at its ends.",
        extra_json_schema={"pattern": PATTERN},  # subject_of refuses the others
    ),
]


FORMS: dict[str, str] = {}
"""What a text must be, in words, by its pattern as the decoder's messages have it."""


def full_match(pattern: str, form: str, description: str | None = None) -> msgspec.Meta:
    """Constraint of a string that matches to its very end: Python's ``$`` would let a last newline pass."""
    pattern = f"^{pattern}\\Z"
    FORMS[repr(pattern)] = form
    return msgspec.Meta(pattern=pattern, description=description)


T = TypeVar("T", bound=msgspec.Struct)


class BodyDecoder(Generic[T]):
    """Decoder of one type of body, a struct that forbids unknown fields. ``root`` is the body's path in messages."""

    def __init__(self, type_: type[T], root: str = "$") -> None:
        self.fields = msgspec.structs.fields(type_)
        self.root = root
        self._decode = msgspec.json.Decoder(type_).decode

    def decode(self, raw: bytes) -> T:
        """Raises Malformed with the path of the wrong field, TooLarge."""
        if len(raw) > LARGEST_BODY_BYTES:
            raise TooLarge(f"A body has at most {LARGEST_BODY_BYTES} bytes.")
        decoded = self.decode_part(raw)
        self._refuse_duplicates(raw, decoded)
        return decoded

    def decode_part(self, raw: bytes | msgspec.Raw) -> T:
        """As ``decode``, for a part of a body that has been searched for duplicates."""
        try:
            return self._decode(raw)
        except msgspec.MsgspecError as error:
            raise Malformed(no_json_detail(bytes(raw), str(error)) or self._detail(str(error))) from None
        except UnicodeDecodeError:
            raise Malformed("The body is not UTF-8.") from None
        except RecursionError:
            raise Malformed("The body is nested too deeply.") from None

    def _detail(self, message: str) -> str:
        """The decoder's message, without the values that the caller sent."""
        at = PATH_SUFFIX.search(message)
        where = at[0] if at else ""
        if message.startswith("Object contains unknown field"):
            message = f"Unknown field: known are {', '.join(f.encode_name for f in self.fields)}{where}"
        elif message.startswith("Invalid enum value"):
            message = f"Not one of the values allowed{where}"
        elif form := FORMS.get(message.removesuffix(where).removeprefix(NO_MATCH)):
            message = f"Expected {form}{where}"
        if self.root == "$":
            return message
        return f"{message.removesuffix(where)} - at `{self.root}{where[8:] or '`'}"

    def _refuse_duplicates(self, raw: bytes, decoded: T) -> None:
        """Refuse a field that is sent twice: JSON readers differ on which one counts. Raises Malformed.

        Each field has one colon. Only a body with more (a repeated field, a nested one, or a colon within a text) is
        decoded again; for all others this costs one count of bytes.
        """
        present = sum(getattr(decoded, field.name) is not field.default for field in self.fields)
        if raw.count(b":") > present:
            refuse_repeated_fields(raw)


class RepeatedField(Malformed):
    """A field that is sent twice in one object."""


def refuse_repeated_fields(raw: bytes) -> None:
    """Raises RepeatedField for JSON that has a field twice at any depth, Malformed for what is no JSON."""
    try:
        SCANNER.decode(raw.decode())
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8.") from None
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None
    except ValueError:
        raise Malformed("The body is not JSON.") from None


def no_json_detail(raw: bytes, message: str) -> str | None:
    """The error of a body that is no JSON, where the decoder's message would mislead; None elsewhere."""
    if not raw.strip():
        return "The body is empty."
    if raw.startswith(BYTE_ORDER_MARKS):
        return "The body begins with a byte order mark: send UTF-8 without one."
    if raw.startswith(GZIP):
        return "The body is compressed: send it as it is."
    if "truncated" in message and python_decodes(raw):
        return "A text has half of a surrogate pair."
    return None


def python_decodes(raw: bytes) -> bool:
    """Whether Python's decoder, which accepts half of a surrogate pair, decodes a body."""
    try:
        SCANNER.decode(raw.decode())
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise RepeatedField("A field is repeated: send each once.")


SCANNER = json.JSONDecoder(object_pairs_hook=_refuse_repeated, parse_int=len)  # int would refuse thousands of digits


def subject_at(identifier: str, secret: bytes, path: str) -> str:
    """The subject of a customer id at a path of the body. Raises Malformed."""
    try:
        return subject_of(identifier, secret)
    except IdentifierError as error:
        raise malformed_identifier(error, path) from None


def malformed_identifier(error: IdentifierError, path: str) -> Malformed:
    """The problem of an identifier, at a path of the body, that no subject can be made of."""
    return Malformed(f"{error} - at `{path}`")
