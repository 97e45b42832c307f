"""Malformed bodies: each is answered by a problem document that names the error."""

import gzip
import json

import pytest

from tests.api.test_events import MESSAGE
from tests.api.test_events import PATH as EVENTS
from tests.api.test_features import BATCH_PATH, FEATURES_PATH, QUERY
from tests.kit.api import Post

VALID = json.dumps(QUERY).encode()
START = b'{"service":"support_chat","purpose":"service","customer_id":'
EVENT = json.dumps({"events": [MESSAGE]}).encode()
DATA = json.dumps(MESSAGE["data"]).encode()


def event_with(data: bytes) -> bytes:
    return EVENT.replace(DATA, data)


MALFORMED: dict[str, tuple[str, bytes, str]] = {
    "empty": (FEATURES_PATH, b"", "The body is empty."),
    "blank": (FEATURES_PATH, b" \n", "The body is empty."),
    "with a byte order mark": (
        FEATURES_PATH,
        b"\xef\xbb\xbf" + VALID,
        "The body begins with a byte order mark: send UTF-8 without one.",
    ),
    "in UTF-16": (
        FEATURES_PATH,
        VALID.decode().encode("utf-16"),
        "The body begins with a byte order mark: send UTF-8 without one.",
    ),
    "compressed": (FEATURES_PATH, gzip.compress(VALID), "The body is compressed: send it as it is."),
    "not UTF-8": (FEATURES_PATH, START + b'"\xff"}', "The body is not UTF-8."),
    "overlong UTF-8": (FEATURES_PATH, START + b'"\xc0\x80"}', "The body is not UTF-8."),
    "a surrogate in UTF-8": (FEATURES_PATH, START + b'"\xed\xa0\x80"}', "The body is not UTF-8."),
    "a name that is not UTF-8": (FEATURES_PATH, b'{"\xff":1}', "The body is not UTF-8."),
    "half of a pair": (FEATURES_PATH, START + b'"\\ud800"}', "A text has half of a surrogate pair."),
    "half of a pair before more": (FEATURES_PATH, START + b'"\\ud800x"}', "A text has half of a surrogate pair."),
    "the second half of a pair": (
        FEATURES_PATH,
        START + b'"\\udc00x"}',
        "JSON is malformed: invalid utf-16 surrogate pair",
    ),
    "truncated": (FEATURES_PATH, VALID[:-1], "Input data was truncated"),
    "with trailing garbage": (FEATURES_PATH, VALID + b"x", "JSON is malformed: trailing characters"),
    "repeated": (FEATURES_PATH, VALID + VALID, "JSON is malformed: trailing characters"),
    "with a comment": (FEATURES_PATH, b"/**/" + VALID, "JSON is malformed: invalid character (byte 0)"),
    "with a trailing comma": (FEATURES_PATH, VALID[:-1] + b",}", "JSON is malformed: trailing comma in object"),
    "in single quotes": (FEATURES_PATH, b"{'service': 1}", "JSON is malformed: object keys must be strings"),
    "a line break in a text": (FEATURES_PATH, START + b'"a\nb"}', "JSON is malformed: invalid character"),
    "NaN": (FEATURES_PATH, START + b'"C","timeout_ms":NaN}', "JSON is malformed: invalid character"),
    "Infinity": (FEATURES_PATH, START + b'"C","timeout_ms":-Infinity}', "JSON is malformed: invalid character"),
    "a number beyond floats": (
        FEATURES_PATH,
        START + b'"C","timeout_ms":1e400}',
        "Number out of range - at `$.timeout_ms`",
    ),
    "a number of 6,000 digits": (
        FEATURES_PATH,
        START + b'"C","timeout_ms":' + b"9" * 6_000 + b"}",
        "Number out of range - at",
    ),
    "deep": (
        FEATURES_PATH,
        START + b"[" * 30_000 + b"]" * 30_000 + b"}",
        "Expected `str`, got `array` - at `$.customer_id`",
    ),
    "deep in a list": (
        BATCH_PATH,
        b'{"customer_ids":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        "Expected `str`, got `array`",
    ),
    "an unknown field, deep": (FEATURES_PATH, b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "Unknown field: "),
    "a deep event": (EVENTS, event_with(b"[" * 30_000 + b"]" * 30_000), "The body is nested too deeply."),
    "an event of deep objects": (
        EVENTS,
        event_with(b'{"a":' * 9_000 + b"1" + b"}" * 9_000),
        "The body is nested too deeply.",
    ),
    "an event not UTF-8": (EVENTS, event_with(b'{"author":"\xff"}'), "The body is not UTF-8."),
    "an event with half of a pair": (
        EVENTS,
        event_with(b'{"intent":"\\ud800"}'),
        "A text has half of a surrogate pair.",
    ),
    "an event with NaN": (EVENTS, event_with(b'{"sentiment":NaN}'), "JSON is malformed: invalid character"),
    "an event of many digits": (
        EVENTS,
        event_with(b'{"sentiment":' + b"9" * 6_000 + b"}"),
        "Number out of range - at `$.events[0].data",
    ),
    "an event with a field twice, deep": (EVENTS, event_with(b'{"a":{"b":1,"b":2}}'), "A field is repeated"),
    "an event with a name twice in two ways": (
        EVENTS,
        event_with(b'{"intent":"x","\\u0069ntent":"y"}'),
        "A field is repeated",
    ),
}


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_body_is_a_problem(post: Post, name: str) -> None:
    path, raw, detail = MALFORMED[name]
    response = post(path, raw)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (400, "urn:rapport:problem:malformed")
    assert response["Content-Type"] == "application/problem+json"
    assert problem["detail"].startswith(detail)
