"""Health pages: liveness, readiness with its checks, metrics."""

from typing import Any, NoReturn

import pytest
from django.db import DatabaseError
from django.test import Client

from featurestore.api import health
from featurestore.consent.selectors import StoreStatus, permissions_in_store
from featurestore.store.protocol import NodeState, ReadResult, StoreUnavailable
from tests.api.test_features import FEATURES_PATH, QUERY
from tests.kit.api import Post
from tests.kit.serving_environment import ServingEnvironment


def test_alive_while_the_store_is_unavailable(client: Client, environment: ServingEnvironment) -> None:
    environment.store.available = False
    assert client.get("/healthz").json() == {"alive": True}


def test_ready_states_each_check(client: Client, environment: ServingEnvironment) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (
        200,
        {"ready": True, "checks": {"process": "ok", "database": "ok", "store": "ok"}},
    )


def test_not_ready_states_the_failed_check(client: Client, environment: ServingEnvironment) -> None:
    environment.store.restart()
    response = client.get("/readyz")
    assert response.status_code == 503
    checks = {"process": "ok", "database": "ok", "store": "not vouched for"}
    assert response.json() == {"ready": False, "checks": checks}
    environment.store.available = False
    assert client.get("/readyz").json()["checks"] == checks | {"store": "unavailable"}


def test_ready_while_any_store_node_is_vouched_for(
    client: Client, environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    states = [NodeState("", []), NodeState("an incarnation", [])]
    monkeypatch.setattr(environment.store, "read", lambda *_: ReadResult([], states))
    assert client.get("/readyz").json()["checks"]["store"] == "ok"
    assert "some nodes of the store are not vouched for" in caplog.text
    assert permissions_in_store()[0] is StoreStatus.PARTLY
    states.pop()
    assert client.get("/readyz").json()["checks"]["store"] == "not vouched for"
    assert permissions_in_store()[0] is StoreStatus.UNVOUCHED


def test_error_of_the_store_is_logged_and_not_answered(
    client: Client, environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: Any) -> NoReturn:
        raise StoreUnavailable("store can't serve now: NOAUTH of redis-7.internal")

    monkeypatch.setattr(environment.store, "read", refused)
    assert "NOAUTH" not in client.get("/readyz").content.decode()
    assert "NOAUTH of redis-7.internal" in caplog.text


def test_not_ready_without_the_database(
    client: Client, environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unavailable:
        def cursor(self) -> None:
            raise DatabaseError

    monkeypatch.setattr(health, "connection", Unavailable())
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "unavailable"


def test_metrics_count_requests_and_views_without_identifiers(
    client: Client, post: Post, environment: ServingEnvironment
) -> None:
    post(FEATURES_PATH, QUERY)
    post(FEATURES_PATH, b"{")
    text = client.get("/metrics").content.decode()
    assert 'rapport_api_requests_total{route="features",status="200"}' in text
    assert 'rapport_api_requests_total{route="features",status="400"}' in text
    assert 'rapport_api_views_total{purpose="service",service="support_chat",status="present"}' in text
    assert 'rapport_api_seconds_bucket{le="0.25",route="features"}' in text
    assert "C42" not in text


def test_health_pages_refuse_post(client: Client) -> None:
    response = client.post("/readyz")
    assert (response.status_code, response["Content-Type"]) == (405, "application/problem+json")
