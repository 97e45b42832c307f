"""Rate limits as callers meet them: told with each answer, refused with a time to come back, never anybody else's."""

import pytest

from featurestore.access.models import ApiClient
from featurestore.access.services import create_client, create_key, save_client
from tests.api.conftest import Post
from tests.api.environment import ServingEnvironment
from tests.api.test_features import BATCH_PATH, BATCH_QUERY, FEATURES_PATH, QUERY

QUOTA = 20  # of a window, at two requests a second


@pytest.fixture
def limited(key: str) -> str:
    client = ApiClient.objects.get(name="support-bot")
    client.requests_per_s = QUOTA // 10
    save_client(client, actor="test")
    return key


def test_each_answer_tells_what_is_left(post: Post, environment: ServingEnvironment, limited: str) -> None:
    response = post(FEATURES_PATH, QUERY)
    assert response["RateLimit-Policy"] == f'"client";q={QUOTA};w=10'
    assert response["RateLimit"] == f'"client";r={QUOTA - 1};t=10'
    assert post(FEATURES_PATH, QUERY | {"customer_id": 1})["RateLimit"] == f'"client";r={QUOTA - 2};t=10', (
        "errors count too"
    )


def test_who_asks_too_often_is_told_when_to_come_back(
    post: Post, environment: ServingEnvironment, limited: str
) -> None:
    told = [post(FEATURES_PATH, QUERY) for _ in range(QUOTA + 2)]
    assert [one.status_code for one in told] == [200] * QUOTA + [429] * 2
    assert told[-1]["Retry-After"] == "10"
    assert told[-1]["RateLimit"] == '"client";r=0;t=10'
    assert told[-1].json()["type"] == "urn:rapport:problem:too-many-requests"


def test_each_customer_of_a_batch_counts(post: Post, environment: ServingEnvironment, limited: str) -> None:
    batch = BATCH_QUERY | {"customer_ids": [f"C{number}" for number in range(QUOTA - 1)]}
    assert post(BATCH_PATH, batch)["RateLimit"] == '"client";r=1;t=10'
    assert post(BATCH_PATH, batch).status_code == 429, "it does not fit"
    assert post(FEATURES_PATH, QUERY).status_code == 429, "and has taken what was left"


def test_a_batch_that_fits_into_no_window_is_no_matter_of_time(
    post: Post, environment: ServingEnvironment, limited: str
) -> None:
    response = post(BATCH_PATH, BATCH_QUERY | {"customer_ids": [f"C{number}" for number in range(QUOTA + 2)]})
    assert response.status_code == 422
    assert "Retry-After" not in response


def test_others_are_not_held_up(post: Post, environment: ServingEnvironment, limited: str) -> None:
    for _ in range(QUOTA + 1):
        post(FEATURES_PATH, QUERY)
    allowance = {"services": ["support_chat"], "purposes": ["service"], "scopes": ["features:read"]}
    _, desk = create_key(create_client("desk", owner="desk", actor="test"), actor="test", **allowance)
    assert post(FEATURES_PATH, QUERY, f"Bearer {desk}").status_code == 200


def test_who_is_not_known_has_no_limit_and_is_told_none(
    post: Post, environment: ServingEnvironment, limited: str
) -> None:
    response = post(FEATURES_PATH, QUERY, "Bearer rap_000000000000_00")
    assert response.status_code == 401
    assert "RateLimit" not in response
