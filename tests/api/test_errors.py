"""Problem documents for every error, and logs without values of requests."""

import json
import logging
import re

import pytest
from django.db import OperationalError
from django.test import Client

from featurestore.api import handler
from featurestore.api.handler import FeatureHandler
from featurestore.logs import request_log
from tests.api.test_features import FEATURES_PATH, QUERY
from tests.kit.api import Post
from tests.kit.serving_environment import ServingEnvironment

SHAPE = {"type", "title", "status", "detail", "instance"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/nothing", 404),
        ("post", "/nothing", 404),
        ("get", "//v1/services", 404),
        ("get", "/healthz/", 404),
        ("get", "/v1", 404),
        ("get", "/v1/", 404),
        ("get", "/v1/nothing", 404),
        ("post", "/v1/features/", 404),
        ("post", "/v1/features/batch/more", 404),
        ("get", "/v1/features", 405),
        ("put", "/v1/features/batch", 405),
        ("delete", "/v1/services", 405),
        ("options", "/v1/consents", 405),
        ("trace", "/v1/consents", 405),
        ("get", "/oauth/token/", 405),
    ],
)
def test_unknown_address_or_method_is_a_problem(client: Client, method: str, path: str, status: int) -> None:
    response = getattr(client, method)(path)
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert set(response.json()) == SHAPE
    if status == 405:
        assert response["Allow"] in {"GET, HEAD", "POST"}


@pytest.mark.parametrize(
    "path", ["/v1/services", "/v1/openapi.json", "/v1/docs", "/healthz", "/readyz", "/metrics", "/"]
)
def test_head_is_answered_as_get_without_the_body(
    client: Client, environment: ServingEnvironment, key: str, path: str
) -> None:
    authorised = {"Authorization": f"Bearer {key}"}
    got, head = (getattr(client, method)(path, headers=authorised) for method in ("get", "head"))
    assert (got.status_code, head.status_code, head.content) == (200, 200, b"")
    assert head["Content-Type"] == got["Content-Type"]
    if path != "/metrics":  # which counts its own requests
        assert int(head["Content-Length"]) == len(got.content)


def test_head_where_only_post_is_offered_is_405(client: Client) -> None:
    response = client.head("/v1/features")
    assert (response.status_code, response["Allow"]) == (405, "POST")


def test_unknown_page_of_the_administration_is_a_page(admin_client: Client) -> None:
    response = admin_client.get("/admin/nothing/at/all/")
    assert (response.status_code, response["Content-Type"].partition(";")[0]) == (404, "text/html")


def test_internal_error_logs_no_value_of_the_request(
    post: Post, environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: FeatureHandler, *args: object) -> None:
        raise KeyError("C42")

    monkeypatch.setattr(FeatureHandler, "_read", broken)
    with caplog.at_level(logging.INFO):
        response = post(FEATURES_PATH, QUERY)
    assert response.status_code == 500
    assert set(response.json()) == SHAPE
    assert "KeyError" in caplog.text
    assert "in broken" in caplog.text or "broken" in caplog.text
    assert "C42" not in caplog.text


def test_unavailable_database_is_503(
    post: Post, environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(handler, "authenticate", fail)
    response = post(FEATURES_PATH, QUERY)
    assert (response.status_code, response["Retry-After"]) == (503, "1")


def test_log_line_names_client_and_service_but_no_customer(
    post: Post,
    environment: ServingEnvironment,
    key: str,
    capfd: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        response = post(FEATURES_PATH, QUERY, **{"X-Request-Id": "a-request-of-mine"})
    assert response["X-Request-Id"] == "a-request-of-mine"
    request_log.flush()
    logged = capfd.readouterr().err
    line = json.loads(logged)
    assert line["event"] == "request"
    assert line["request_id"] == "a-request-of-mine"
    assert {line["client"], line["service"], line["key_id"]} == {"support-bot", "support_chat", key[4:16]}
    for part in ("C42", ServingEnvironment.subject("C42"), key, key[17:], "36.5"):
        assert part not in logged + caplog.text


@pytest.mark.parametrize("sent", ["", "short", "x" * 65, "jane@example.org", "two words", 'a"b\\cdefgh'])
def test_malformed_request_id_is_replaced(post: Post, environment: ServingEnvironment, sent: str) -> None:
    response = post(FEATURES_PATH, QUERY | {"customer_id": 1}, **{"X-Request-Id": sent})
    assert re.fullmatch("[0-9a-f]{32}", response["X-Request-Id"])
    assert response.json()["instance"] == f"urn:rapport:request:{response['X-Request-Id']}"


def test_answers_must_not_be_cached(post: Post, environment: ServingEnvironment) -> None:
    assert post(FEATURES_PATH, QUERY)["Cache-Control"] == "no-store"


def test_wrong_host_is_a_problem(client: Client) -> None:
    response = client.get("/v1/services", headers={"Host": "elsewhere.example"})
    assert response.status_code == 400
    assert response.json()["detail"] == "The Host header names no host of this installation."
