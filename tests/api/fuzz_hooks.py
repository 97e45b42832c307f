"""Hooks of schemathesis: what a schema can't express, and is refused with 400 all the same."""

import unicodedata
from typing import Any

import schemathesis


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """A body whose texts are in normal form C, as identifiers must be."""
    return normalised(body)


def normalised(value: Any) -> Any:
    match value:
        case str():
            return unicodedata.normalize("NFC", value)
        case list():
            return [normalised(item) for item in value]
        case dict():
            return {name: normalised(item) for name, item in value.items()}
    return value
