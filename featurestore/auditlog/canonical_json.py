"""Canonical JSON (RFC 8785) of values without fractions: one text of each value, so that its hash can be compared.

Floats are refused: the log needs none, and their shortest form is the hard part of the RFC.
"""

import json
from typing import Any

LARGEST = 2**53 - 1
"""The largest integer that every reader of JSON keeps exactly (RFC 7493)."""


class NotCanonical(ValueError):
    """A value without a canonical form."""


def canonical(value: Any) -> str:
    """The canonical text. Raises NotCanonical.

    >>> canonical({"b": [1, True, None], "a": "é"})
    '{"a":"é","b":[1,true,null]}'
    """
    try:
        return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise NotCanonical("the value is nested too deeply, or contains itself") from None


def _sorted(value: Any) -> Any:
    """The value with the keys of its objects in order of their UTF-16 code units."""
    match value:
        case None | bool():
            return value
        case int() if abs(value) <= LARGEST:
            return int(value)
        case str():
            _utf16(value)
            return str(value)
        case list() | tuple():
            return [_sorted(one) for one in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {str(key): _sorted(value[key]) for key in sorted(value, key=_utf16)}
        case _:
            raise NotCanonical(f"{type(value).__name__} {value!r:.50} has no canonical form here: write it as a text")


def _utf16(text: str) -> bytes:
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError:
        raise NotCanonical("a text has a surrogate without its partner") from None
