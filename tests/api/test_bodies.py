"""JSON's bad twins: each is a clear problem document, whatever comes behind the door."""

import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from featurestore.api.body import LARGEST_BODY_BYTES
from tests.api.conftest import Post
from tests.api.test_events import MESSAGE
from tests.api.test_events import PATH as EVENTS
from tests.api.test_features import MANY, ONE, QUESTION
from tests.fuzz import api_of_a_shop

GOOD = json.dumps(QUESTION).encode()
START = b'{"service":"support_chat","purpose":"service","customer_id":'
EVENT = json.dumps({"events": [MESSAGE]}).encode()
DATA = json.dumps(MESSAGE["data"]).encode()


def event_with(data: bytes) -> bytes:
    return EVENT.replace(DATA, data)


TWINS: dict[str, tuple[str, bytes, str]] = {
    "empty": (ONE, b"", "The body is empty."),
    "blank": (ONE, b" \n", "The body is empty."),
    "with a byte order mark": (
        ONE,
        b"\xef\xbb\xbf" + GOOD,
        "The body begins with a byte order mark: send UTF-8 without one.",
    ),
    "in UTF-16": (
        ONE,
        GOOD.decode().encode("utf-16"),
        "The body begins with a byte order mark: send UTF-8 without one.",
    ),
    "compressed": (ONE, gzip.compress(GOOD), "The body is compressed: send it as it is."),
    "not UTF-8": (ONE, START + b'"\xff"}', "The body is not UTF-8."),
    "overlong UTF-8": (ONE, START + b'"\xc0\x80"}', "The body is not UTF-8."),
    "a surrogate in UTF-8": (ONE, START + b'"\xed\xa0\x80"}', "The body is not UTF-8."),
    "a name that is not UTF-8": (ONE, b'{"\xff":1}', "The body is not UTF-8."),
    "half of a pair": (ONE, START + b'"\\ud800"}', "A text has half of a surrogate pair."),
    "half of a pair before more": (ONE, START + b'"\\ud800x"}', "A text has half of a surrogate pair."),
    "the other half": (ONE, START + b'"\\udc00x"}', "JSON is malformed: invalid utf-16 surrogate pair"),
    "truncated": (ONE, GOOD[:-1], "Input data was truncated"),
    "with garbage behind": (ONE, GOOD + b"x", "JSON is malformed: trailing characters"),
    "twice": (ONE, GOOD + GOOD, "JSON is malformed: trailing characters"),
    "with a comment": (ONE, b"/**/" + GOOD, "JSON is malformed: invalid character (byte 0)"),
    "with a trailing comma": (ONE, GOOD[:-1] + b",}", "JSON is malformed: trailing comma in object"),
    "in single quotes": (ONE, b"{'service': 1}", "JSON is malformed: object keys must be strings"),
    "a line break in a text": (ONE, START + b'"a\nb"}', "JSON is malformed: invalid character"),
    "NaN": (ONE, START + b'"C","timeout_ms":NaN}', "JSON is malformed: invalid character"),
    "Infinity": (ONE, START + b'"C","timeout_ms":-Infinity}', "JSON is malformed: invalid character"),
    "a number beyond floats": (ONE, START + b'"C","timeout_ms":1e400}', "Number out of range - at `$.timeout_ms`"),
    "a number of 6,000 digits": (ONE, START + b'"C","timeout_ms":' + b"9" * 6_000 + b"}", "Number out of range - at"),
    "deep": (ONE, START + b"[" * 30_000 + b"]" * 30_000 + b"}", "Expected `str`, got `array` - at `$.customer_id`"),
    "deep in a list": (MANY, b'{"customer_ids":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "Expected `str`, got `array`"),
    "an unknown field, deep": (ONE, b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "Unknown field: "),
    "an event deep": (EVENTS, event_with(b"[" * 30_000 + b"]" * 30_000), "The body is nested too deeply."),
    "an event of objects deep": (
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
    "an event with a field twice, deep": (EVENTS, event_with(b'{"a":{"b":1,"b":2}}'), "A field is there twice"),
    "an event with a name twice in two ways": (
        EVENTS,
        event_with(b'{"intent":"x","\\u0069ntent":"y"}'),
        "A field is there twice",
    ),
}


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("name", TWINS)
def test_a_body_that_is(post: Post, name: str) -> None:
    path, raw, detail = TWINS[name]
    response = post(path, raw)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (400, "urn:rapport:problem:malformed")
    assert response["Content-Type"] == "application/problem+json"
    assert problem["detail"].startswith(detail)


# ------------------------------------------------------------------------------------------ what a real server is sent


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with api_of_a_shop(tmp_path_factory.mktemp("shop")) as (_, client):
        yield client


def chunks(body: bytes) -> Iterator[bytes]:
    yield from (body[at : at + 7_000] for at in range(0, len(body), 7_000))


def framed(api: httpx.Client, head: str, sent: bytes) -> tuple[int, dict[str, Any]]:
    """The answer to a request whose framing is written by hand: its status and body."""
    authorization = api.headers["Authorization"]
    heads = [f"POST {ONE} HTTP/1.1", "Host: localhost", f"Authorization: {authorization}", "Connection: close", head]
    with socket.create_connection((api.base_url.host, api.base_url.port or 0), timeout=20) as connection:
        connection.sendall("\r\n".join([*heads, "", ""]).encode() + sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head_, _, body = answer.partition(b"\r\n\r\n")
    return int(head_.split()[1]), json.loads(body) if body else {}


@pytest.mark.redis
class TestRealServer:
    """Framing is the server's affair, so it is tried there."""

    @pytest.mark.parametrize("path", [ONE, EVENTS])
    def test_a_chunked_body_is_read(self, api: httpx.Client, path: str) -> None:
        answer = api.post(path, content=chunks(b"[" + b" " * 20_000 + b"]"))
        assert (answer.status_code, answer.json()["detail"]) == (400, "Expected `object`, got `array`")
        assert api.post(ONE, content=chunks(GOOD)).status_code == 200

    @pytest.mark.parametrize("path", [ONE, EVENTS])
    @pytest.mark.parametrize("size", [LARGEST_BODY_BYTES + 1, 5_000_000])
    def test_a_body_that_is_too_large_is_refused_in_chunks_too(self, api: httpx.Client, path: str, size: int) -> None:
        for content in (b" " * size, chunks(b" " * size)):
            answer = api.post(path, content=content)
            assert (answer.status_code, answer.json()["type"]) == (413, "urn:rapport:problem:too-large")

    @pytest.mark.parametrize(
        "type_", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense", ""]
    )
    def test_the_content_type_is_not_looked_at(self, api: httpx.Client, type_: str) -> None:
        assert api.post(ONE, content=GOOD, headers={"Content-Type": type_}).status_code == 200

    def test_a_length_that_is_too_short_truncates(self, api: httpx.Client) -> None:
        status, problem = framed(api, f"Content-Length: {len(GOOD) - 1}", GOOD)
        assert (status, problem["detail"]) == (400, "Input data was truncated")

    def test_no_length_at_all_is_an_empty_body(self, api: httpx.Client) -> None:
        status, problem = framed(api, "X-Nothing: here", GOOD)
        assert (status, problem["detail"]) == (400, "The body is empty.")

    @pytest.mark.parametrize(
        "head", ["Content-Length: abc", "Content-Length: -5", "Content-Length: 5\r\nContent-Length: 6"]
    )
    def test_a_length_that_is_none_is_refused(self, api: httpx.Client, head: str) -> None:
        assert framed(api, head, GOOD)[0] == 400

    def test_a_broken_chunk_is_no_body(self, api: httpx.Client) -> None:
        status, problem = framed(api, "Transfer-Encoding: chunked", b"zz\r\nhello\r\n0\r\n\r\n")
        assert (status, problem["detail"]) == (400, "The body is empty.")
