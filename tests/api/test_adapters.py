"""Two adapters, one handler: every request is answered alike through Django and through the fast path."""

import io
import json
import sys
from typing import Any, NamedTuple
from wsgiref.types import WSGIEnvironment

import pytest
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.api.examples import BATCH, FEATURES
from featurestore.api.fast_path import with_fast_path
from tests.api.test_features import BATCH_PATH, FEATURES_PATH, QUERY
from tests.kit.serving_environment import ServingEnvironment

REQUEST_ID = "a-request-of-mine"
DJANGO_HEADERS = {"Referrer-Policy", "Cross-Origin-Opener-Policy", "X-Frame-Options"}  # of its middleware for pages


class Answer(NamedTuple):
    status: str
    headers: dict[str, str]
    body: bytes


class Adapters:
    """Both adapters, and the requests that the fast path passed on."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.django = get_wsgi_application()
        self.fast_path = with_fast_path(self.record_and_answer)
        self.passed_on: list[str] = []

    def record_and_answer(self, environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
        self.passed_on.append(environ["PATH_INFO"])
        return list(self.django(environ, start_response))

    def send(self, path: str, body: bytes, **changes: str | None) -> tuple[Answer, Answer]:
        environ = {
            "REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/json", "HTTP_AUTHORIZATION": f"Bearer {self.key}",
            "HTTP_HOST": "localhost:8000", "HTTP_X_REQUEST_ID": REQUEST_ID, "QUERY_STRING": "", "SCRIPT_NAME": "",
            "SERVER_NAME": "localhost", "SERVER_PORT": "8000", "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
            **changes,
        }  # fmt: skip
        environ = {name: value for name, value in environ.items() if value is not None}
        return self.answer_of(self.fast_path, environ, body), self.answer_of(self.django, environ, body)

    def answer_of(self, adapter: Any, environ: dict[str, Any], body: bytes) -> Answer:
        starts: list[Any] = []
        body = b"".join(adapter({**environ, "wsgi.input": io.BytesIO(body)}, lambda *start: starts.append(start)))
        ((status, headers),) = starts
        kept = {name: value for name, value in headers if name not in DJANGO_HEADERS}
        if "RateLimit" in kept:
            kept["RateLimit"] = "less each time"
        return Answer(status, kept, body)

    def common_answer(self, path: str, body: bytes, **changes: str | None) -> Answer:
        fast, slow = self.send(path, body, **changes)
        assert fast == slow
        return fast


@pytest.fixture
def adapters(environment: ServingEnvironment, key: str, monkeypatch: pytest.MonkeyPatch) -> Adapters:
    monkeypatch.setattr("featurestore.api.trace.getrandbits", lambda bits: 2**bits - 1)  # the same span for both
    return Adapters(key)


@pytest.mark.parametrize("example", FEATURES, ids=lambda example: example.name)
def test_adapters_answer_single_read_examples_alike(
    adapters: Adapters, environment: ServingEnvironment, example: Any
) -> None:
    environment.store.available = example.name != "store-unavailable"
    authorised = {} if example.request else {"HTTP_AUTHORIZATION": None}
    body = json.dumps(example.request or QUERY).encode()
    assert adapters.common_answer(FEATURES_PATH, body, **authorised).status.startswith(str(example.status))
    assert not adapters.passed_on


@pytest.mark.parametrize("example", BATCH, ids=lambda example: example.name)
def test_adapters_answer_batch_examples_alike(
    adapters: Adapters, environment: ServingEnvironment, example: Any
) -> None:
    environment.store.available = example.name != "store-unavailable"
    authorised = {} if example.request else {"HTTP_AUTHORIZATION": None}
    body = json.dumps(example.request or QUERY).encode()
    assert adapters.common_answer(BATCH_PATH, body, **authorised).status.startswith(str(example.status))
    assert not adapters.passed_on


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = ["service", "purpose", "customer_id", "customer_ids", "features", "timeout_ms", "as_of", "surprise"]
nearly = st.dictionaries(st.sampled_from(fields), json_values, max_size=4).map(lambda odd: QUERY | odd)
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda v: json.dumps(v).encode())
    | nearly.map(lambda query: json.dumps(query).encode())
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.sampled_from([FEATURES_PATH, BATCH_PATH]), body=bodies)
def test_adapters_answer_any_body_alike(adapters: Adapters, path: str, body: bytes) -> None:
    adapters.common_answer(path, body)


@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_AUTHORIZATION": None},
        {"HTTP_AUTHORIZATION": "Basic dTpw"},
        {"HTTP_AUTHORIZATION": "Bearer rap_000000000000_00"},
        {"HTTP_AUTHORIZATION": "Bearer " + "x" * 10_000},
        {"HTTP_X_REQUEST_ID": "jane@example.org-and-more"},
        {"HTTP_TRACEPARENT": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        {"HTTP_TRACEPARENT": "00-nonsense"},
        {"CONTENT_TYPE": "text/plain"},
        {"CONTENT_TYPE": "multipart/form-data; boundary=x"},
        {"QUERY_STRING": "customer_id=C42"},
    ],
    ids=str,
)
def test_adapters_answer_any_headers_alike(
    adapters: Adapters, changes: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurestore.api.request_cycle.getrandbits", lambda bits: 0)
    adapters.common_answer(FEATURES_PATH, json.dumps(QUERY).encode(), **changes)
    assert not adapters.passed_on


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        (FEATURES_PATH, {"REQUEST_METHOD": "GET"}),
        (FEATURES_PATH, {"REQUEST_METHOD": "HEAD"}),
        (FEATURES_PATH, {"CONTENT_LENGTH": None}),
        (FEATURES_PATH, {"CONTENT_LENGTH": ""}),
        (FEATURES_PATH, {"HTTP_HOST": "elsewhere.example.org"}),
        (FEATURES_PATH, {"HTTP_HOST": "bad host"}),
        (FEATURES_PATH + "/", {}),
        ("/v1/services", {"REQUEST_METHOD": "GET"}),
        ("/v1/services", {"REQUEST_METHOD": "HEAD"}),
        ("/", {"REQUEST_METHOD": "GET"}),
        ("/nothing", {}),
        ("/oauth/token/", {}),
        ("/healthz", {"REQUEST_METHOD": "GET"}),
    ],
    ids=str,
)
def test_fast_path_passes_other_requests_to_django(
    adapters: Adapters, path: str, changes: dict[str, str | None]
) -> None:
    adapters.common_answer(path, json.dumps(QUERY).encode(), **changes)
    assert adapters.passed_on == [path]


def test_adapters_refuse_too_large_bodies_alike(adapters: Adapters) -> None:
    assert adapters.common_answer(FEATURES_PATH, b" " * 65_537).status == "413 Request Entity Too Large"
