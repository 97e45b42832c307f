"""Rate limits of clients: headers of each answer, 429 with Retry-After, one limit for each client."""

import pytest

from featurestore.access.models import ApiClient
from featurestore.access.services import create_client, create_key, save_client
from tests.api.test_events import MESSAGE
from tests.api.test_events import PATH as EVENTS_PATH
from tests.api.test_features import BATCH_PATH, BATCH_QUERY, FEATURES_PATH, QUERY
from tests.kit.api import Post
from tests.kit.serving_environment import ServingEnvironment

QUOTA = 20  # of a window, at two requests a second


@pytest.fixture
def limited(key: str) -> str:
    client = ApiClient.objects.get(name="support-bot")
    client.requests_per_s = QUOTA // 10
    save_client(client, actor="test")
    return key


def test_each_answer_states_what_is_left_of_the_limit(
    post: Post, environment: ServingEnvironment, limited: str
) -> None:
    response = post(FEATURES_PATH, QUERY)
    assert response["RateLimit-Policy"] == f'"client";q={QUOTA};w=10'
    assert response["RateLimit"] == f'"client";r={QUOTA - 1};t=10'
    assert post(FEATURES_PATH, QUERY | {"customer_id": 1})["RateLimit"] == f'"client";r={QUOTA - 2};t=10', (
        "errors count too"
    )


def test_429_states_when_the_window_resets(post: Post, environment: ServingEnvironment, limited: str) -> None:
    responses = [post(FEATURES_PATH, QUERY) for _ in range(QUOTA + 2)]
    assert [one.status_code for one in responses] == [200] * QUOTA + [429] * 2
    assert responses[-1]["Retry-After"] == "10"
    assert responses[-1]["RateLimit"] == '"client";r=0;t=10'
    assert responses[-1].json()["type"] == "urn:rapport:problem:too-many-requests"


def test_each_customer_of_a_batch_is_charged(post: Post, environment: ServingEnvironment, limited: str) -> None:
    batch = BATCH_QUERY | {"customer_ids": [f"C{number}" for number in range(QUOTA - 1)]}
    assert post(BATCH_PATH, batch)["RateLimit"] == '"client";r=1;t=10'
    assert post(BATCH_PATH, batch).status_code == 429, "above what is left"
    assert post(FEATURES_PATH, QUERY).status_code == 429, "the refused batch took what was left"


def test_each_event_of_a_batch_is_charged(post: Post, environment: ServingEnvironment, limited: str) -> None:
    batch = {"events": [MESSAGE | {"id": f"m/{number}"} for number in range(QUOTA - 1)]}
    assert post(EVENTS_PATH, batch)["RateLimit"] == '"client";r=1;t=10'
    assert post(EVENTS_PATH, batch).status_code == 429, "above what is left"
    assert len(environment.kafka) == QUOTA - 1


def test_events_above_a_whole_window_are_422_and_not_sent(
    post: Post, environment: ServingEnvironment, limited: str
) -> None:
    response = post(EVENTS_PATH, {"events": [MESSAGE | {"id": f"m/{number}"} for number in range(QUOTA + 2)]})
    assert response.status_code == 422
    assert response.json()["detail"] == (
        f"This client may send {QUOTA} customers or events in 10 s: send fewer at a time."
    )
    assert not environment.kafka


def test_batch_above_a_whole_window_is_422_without_retry_after(
    post: Post, environment: ServingEnvironment, limited: str
) -> None:
    response = post(BATCH_PATH, BATCH_QUERY | {"customer_ids": [f"C{number}" for number in range(QUOTA + 2)]})
    assert response.status_code == 422
    assert "Retry-After" not in response


def test_limit_of_one_client_leaves_others_alone(post: Post, environment: ServingEnvironment, limited: str) -> None:
    for _ in range(QUOTA + 1):
        post(FEATURES_PATH, QUERY)
    allowance = {"services": ["support_chat"], "purposes": ["service"], "scopes": ["features:read"]}
    _, other = create_key(create_client("other", owner="support", actor="test"), actor="test", **allowance)
    assert post(FEATURES_PATH, QUERY, f"Bearer {other}").status_code == 200


def test_unauthenticated_request_has_no_rate_limit_headers(
    post: Post, environment: ServingEnvironment, limited: str
) -> None:
    response = post(FEATURES_PATH, QUERY, "Bearer rap_000000000000_00")
    assert response.status_code == 401
    assert "RateLimit" not in response
