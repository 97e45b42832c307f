"""Encodings of a text, or of a subject, in which it may stand in the bytes of a file. Pure."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote

WITHOUT_ENDS = slice(1, -1)  # of a JSON string: its quotation marks


class Needle(NamedTuple):
    """What is searched for: its name, and its bytes by the name of their encoding."""

    name: str
    forms: dict[str, bytes]


def needle_of(name: str, text: str, binary: bytes | None = None) -> Needle:
    """A text in every encoding. ``binary``: its bytes, where it is the text of some, like a subject."""
    forms: dict[str, bytes] = {}
    for form, encoded in forms_of_text(text):
        _add(forms, form, encoded)
    if binary is not None:
        _add(forms, "binary", binary)
        _add(forms, "binary, reversed", binary[::-1])
        for form, encoded in base64_forms(binary):
            _add(forms, f"binary in {form}", encoded)
    return Needle(name, forms)


def bytes_needle(name: str, raw: bytes) -> Needle:
    """Bytes that have one form only, such as a ciphertext or a column's binary value."""
    return Needle(name, {"as stored": raw})


def _add(forms: dict[str, bytes], form: str, encoded: bytes) -> None:
    """Add a form, unless it contains another one, by which it is found anyway."""
    if encoded and not any(shorter in encoded for shorter in forms.values()):
        forms[form] = encoded


def forms_of_text(text: str) -> Iterator[tuple[str, bytes]]:
    """The encodings of a text. msgpack's strings are UTF-8, with their length before them.

    >>> dict(forms_of_text("ä/"))["JSON"], dict(forms_of_text("ä/"))["percent"]
    (b'\\\\u00e4/', b'%C3%A4%2F')
    """
    yield "UTF-8", text.encode()
    yield "UTF-8, upper case", text.upper().encode()
    yield "UTF-8, lower case", text.lower().encode()
    if text.isascii() or max(text) < "\u0100":
        yield "Latin-1", text.encode("latin-1")
    yield "UTF-16, little-endian", text.encode("utf-16-le")
    yield "UTF-16, big-endian", text.encode("utf-16-be")
    yield from _json_forms(text)
    yield from _percent_forms(text)
    yield "hex", text.encode().hex().encode()
    yield "hex, upper case", text.encode().hex().upper().encode()
    yield from base64_forms(text.encode())


def _json_forms(text: str) -> Iterator[tuple[str, bytes]]:
    escaped = json.dumps(text)[WITHOUT_ENDS]
    yield "JSON", escaped.encode()
    yield "JSON, slashes escaped", escaped.replace("/", "\\/").encode()
    yield (
        "JSON, UTF-8, slashes escaped",
        json.dumps(text, ensure_ascii=False)[WITHOUT_ENDS].replace("/", "\\/").encode(),
    )
    yield "JSON, everything escaped", "".join(f"\\u{ord(one):04x}" for one in text).encode()
    yield "JSON, everything escaped, upper case", "".join(f"\\u{ord(one):04X}" for one in text).encode()


def _percent_forms(text: str) -> Iterator[tuple[str, bytes]]:
    yield "percent", quote(text, safe="").encode()
    yield "percent, slashes kept", quote(text, safe="/").encode()
    yield "percent, lower case", _lower_percent(quote(text, safe="")).encode()
    yield "percent, everything", "".join(f"%{byte:02X}" for byte in text.encode()).encode()


def _lower_percent(quoted: str) -> str:
    first, *others = quoted.split("%")
    return "".join([first, *(f"%{one[:2].lower()}{one[2:]}" for one in others)])


def base64_forms(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Base64 of bytes wherever they begin within a group of three, without the characters that neighbours change.

    >>> [encoded for _, encoded in base64_forms(b"subject")][:3]
    [b'c3ViamVjd', b'N1YmplY3', b'zdWJqZWN0']
    """
    encoders: dict[str, Callable[[bytes], bytes]] = {
        "base64": base64.b64encode, "base64 of URLs": base64.urlsafe_b64encode
    }  # fmt: skip
    for name, encode in encoders.items():
        for offset in range(3):
            encoded = encode(bytes(offset) + raw)
            first = -(-offset * 8 // 6)
            last = (offset + len(raw)) * 8 // 6
            yield f"{name} at offset {offset}", encoded[first:last]


def longest_form(needles: Iterable[Needle]) -> int:
    """Bytes of the longest form: so far do two parts of a file overlap, if it is searched in parts."""
    return max((len(form) for needle in needles for form in needle.forms.values()), default=1)
