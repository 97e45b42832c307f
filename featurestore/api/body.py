"""Bodies of requests: JSON, decoded strictly into a struct."""

import codecs
import json
import re
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from featurestore.api.errors import Malformed, TooLarge
from featurestore.identity import MAX_IDENTIFIER_LENGTH, IdentifierError, subject_of

LARGEST_BODY_BYTES = 64 * 1024
BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
GZIP = b"\x1f\x8b"
AT = re.compile(r" - at `\$[^`]*`$")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Identifier = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=MAX_IDENTIFIER_LENGTH,
        description="The shop's own id of a customer, without control characters.",
        extra_json_schema={"pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$"},  # subject_of refuses them
    ),
]


def whole(pattern: str, description: str | None = None) -> msgspec.Meta:
    """A text that matches to its very end: Python's ``$`` would let a last newline pass, JSON Schema's does not."""
    schema = {"pattern": f"^{pattern}$"}  # lost if another Meta followed, so that this one takes the description
    return msgspec.Meta(pattern=f"^{pattern}\\Z", description=description, extra_json_schema=schema)


T = TypeVar("T", bound=msgspec.Struct)


class Body(Generic[T]):
    """Decodes one type of body: a struct that forbids unknown fields. ``root`` is its path in the messages."""

    def __init__(self, type_: type[T], root: str = "$") -> None:
        self.fields = msgspec.structs.fields(type_)
        self.root = root
        self._decode = msgspec.json.Decoder(type_).decode

    def decode(self, raw: bytes) -> T:
        """Raises Malformed with the path of the wrong field, TooLarge."""
        if len(raw) > LARGEST_BODY_BYTES:
            raise TooLarge(f"A body has at most {LARGEST_BODY_BYTES} bytes.")
        decoded = self.part(raw)
        self._refuse_duplicates(raw, decoded)
        return decoded

    def part(self, raw: bytes | msgspec.Raw) -> T:
        """As ``decode``, of a part of a body that was looked through for duplicates."""
        try:
            return self._decode(raw)
        except msgspec.MsgspecError as error:
            raise Malformed(what_it_is(bytes(raw), str(error)) or self._explained(str(error))) from None
        except UnicodeDecodeError:
            raise Malformed("The body is not UTF-8.") from None
        except RecursionError:
            raise Malformed("The body is nested too deeply.") from None

    def _explained(self, message: str) -> str:
        """The decoder's message, freed from what the caller sent."""
        at = AT.search(message)
        where = at[0] if at else ""
        if message.startswith("Object contains unknown field"):
            message = f"Unknown field: known are {', '.join(f.encode_name for f in self.fields)}{where}"
        elif message.startswith("Invalid enum value"):
            message = f"Not one of the values allowed{where}"
        if self.root == "$":
            return message
        return f"{message.removesuffix(where)} - at `{self.root}{where[8:] or '`'}"

    def _refuse_duplicates(self, raw: bytes, decoded: T) -> None:
        """Refuse a field that is there twice: readers differ on which one counts.

        Each field brings one colon. Only where there are more (a twice-named field, one within another, or a colon
        inside of a text) is the body looked at again; that keeps the usual request at one count over its bytes.
        """
        present = sum(getattr(decoded, field.name) is not field.default for field in self.fields)
        if raw.count(b":") > present:
            try:
                SCANNER.decode(raw.decode())
            except UnicodeDecodeError:
                raise Malformed("The body is not UTF-8.") from None
            except RecursionError:
                raise Malformed("The body is nested too deeply.") from None
            except ValueError:
                raise Malformed("The body is not JSON.") from None


def what_it_is(raw: bytes, message: str) -> str | None:
    """What is wrong with a body that is no JSON, where the decoder's message would mislead."""
    if not raw.strip():
        return "The body is empty."
    if raw.startswith(BYTE_ORDER_MARKS):
        return "The body begins with a byte order mark: send UTF-8 without one."
    if raw.startswith(GZIP):
        return "The body is compressed: send it as it is."
    if "truncated" in message and whole_for_python(raw):
        return "A text has half of a surrogate pair."
    return None


def whole_for_python(raw: bytes) -> bool:
    """Whether Python's own decoder reads a body to its end, as it does with half of a surrogate pair."""
    try:
        SCANNER.decode(raw.decode())
    except (ValueError, RecursionError):
        return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise Malformed("A field is there twice: send each once.")


SCANNER = json.JSONDecoder(object_pairs_hook=_once, parse_int=len)  # of int, thousands of digits would be an error


def subject_at(identifier: str, secret: bytes, path: str) -> str:
    """The subject of a customer id that stands at a path of the body. Raises Malformed."""
    try:
        return subject_of(identifier, secret)
    except IdentifierError as error:
        raise Malformed(f"{error} - at `{path}`") from None
