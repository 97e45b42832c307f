"""``as_of`` in a request: answered exactly, or refused with the views and why."""

from typing import Any

import pytest

from tests.api.test_features import BATCH_PATH, BATCH_QUERY, FEATURES_PATH, QUERY
from tests.kit.api import Post
from tests.kit.serving_environment import ServingEnvironment

pytestmark = pytest.mark.usefixtures("environment")

THREE_FEATURES = QUERY | {"features": ["spend_amount_sum_30d", "returns_90d", "seconds_since_return"]}


def test_time_after_the_newest_event_is_answered(post: Post) -> None:
    answer = post(FEATURES_PATH, THREE_FEATURES | {"as_of": "2026-11-21T10:30:00+01:00"}).json()
    assert answer["at"] == "2026-11-21T09:30:00.000Z"
    assert answer["features"] == {"spend_amount_sum_30d": 36.5, "returns_90d": 1, "seconds_since_return": 1800.0}
    assert {(view["status"], view["age_s"]) for view in answer["views"].values()} == {("present", 0)}


def test_as_of_now_equals_a_read_without_it(post: Post) -> None:
    assert post(FEATURES_PATH, QUERY | {"as_of": "2026-11-22T12:00:00Z"}).content == post(FEATURES_PATH, QUERY).content


def test_only_requested_features_need_an_exact_answer(post: Post, environment: ServingEnvironment) -> None:
    ticket = {"kind": "opened", "ticket_id": "T1", "topic": "delivery", "open_tickets": 1}
    environment.fold_events("C42", "support", ("2026-11-20T09:00:00", ticket))
    query = QUERY | {"as_of": "2026-11-20T12:00:00Z", "features": ["tickets_open"]}
    assert post(FEATURES_PATH, query).json()["features"] == {"tickets_open": 1}
    refused = post(FEATURES_PATH, query | {"features": ["tickets_open", "returns_90d"]}).json()
    assert refused["detail"].startswith("view returns: events came later. ")


def test_time_before_the_newest_event_is_refused(post: Post) -> None:
    refused = post(FEATURES_PATH, THREE_FEATURES | {"as_of": "2026-11-21T08:59:59Z"})
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:rapport:problem:as-of-too-early"
    assert refused.json()["detail"] == (
        "view returns: events came later; view spend: events came later. "
        "Use a later time, or leave these out - at `$.as_of`"
    )


def test_refused_batch_names_the_customers_by_index(post: Post, environment: ServingEnvironment) -> None:
    environment.permit("C44", service=True)
    ids = ["C43", "C42", "C44", "unknown", "C42"]
    batch = BATCH_QUERY | {"customer_ids": ids, "as_of": "2026-11-20T12:00:00Z", "features": ["returns_90d"]}
    refused = post(BATCH_PATH, batch).json()["detail"]
    assert refused.startswith("view returns: events came later. ")
    assert refused.endswith(" - at `$.as_of`, `$.customer_ids[1]`, `$.customer_ids[4]`")
    others = post(BATCH_PATH, batch | {"customer_ids": ["C43", "C44", "unknown"]}).json()["results"]
    assert [answer["views"]["returns"]["status"] for answer in others] == ["withheld", "missing", "withheld"]
    assert {answer["at"] for answer in others} == {"2026-11-20T12:00:00.000Z"}


@pytest.mark.parametrize(
    ("as_of", "status", "name", "detail"),
    [
        ("2026-10-31T23:59:59Z", 422, "as-of-too-early", "view returns: the permission began later"),
        ("1969-12-31T23:59:59Z", 422, "as-of-too-early", "Nothing is stored from before 1970"),
        ("0001-01-01T00:00:00+23:59", 422, "as-of-too-early", "Nothing is stored from before 1970"),
        ("2026-11-22T12:00:00.001Z", 422, "as-of-in-future", "Leave it out to read as of now"),
        ("9999-12-31T23:59:59-23:59", 422, "as-of-in-future", "Leave it out to read as of now"),
        ("2026-11-21T12:00:00", 400, "malformed", "Expected `datetime` with a timezone component - at `$.as_of`"),
        ("yesterday", 400, "malformed", "Invalid RFC3339 encoded datetime - at `$.as_of`"),
        (1_700_000_000, 400, "malformed", "Expected `datetime | null`, got `int` - at `$.as_of`"),
    ],
)
def test_wrong_as_of_is_a_problem(post: Post, as_of: Any, status: int, name: str, detail: str) -> None:
    response = post(FEATURES_PATH, QUERY | {"as_of": as_of, "features": ["returns_90d"]})
    assert (response.status_code, response.json()["type"]) == (status, f"urn:rapport:problem:{name}")
    assert response.json()["detail"].startswith(detail)


def test_denied_customer_is_withheld_at_any_as_of(post: Post) -> None:
    for customer_id in ("C43", "unknown"):
        response = post(FEATURES_PATH, QUERY | {"customer_id": customer_id, "as_of": "2020-01-01T00:00:00Z"})
        assert response.status_code == 200
        assert {view["status"] for view in response.json()["views"].values()} == {"withheld"}
        assert set(response.json()["features"].values()) == {None}


def test_requested_defaults_are_marked_at_any_as_of(post: Post) -> None:
    query = QUERY | {"customer_id": "C43", "as_of": "2020-01-01T00:00:00Z", "withheld": "defaults"}
    answer = post(FEATURES_PATH, query | {"features": ["returns_90d"]}).json()
    assert (answer["features"], answer["views"]["returns"]["defaults"]) == ({"returns_90d": 0}, True)
