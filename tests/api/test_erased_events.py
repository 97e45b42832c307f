"""Events of erased customers: answered as a stranger's, and never sent to Kafka."""

from datetime import UTC, datetime

import pytest
from django.db import DatabaseError

from featurestore.api import event_permissions
from featurestore.customers.models import Suppression
from featurestore.customers.suppressions import add_suppressions, entry_of
from tests.kit.api import Post
from tests.kit.serving_environment import FakeKafka, ServingEnvironment

PATH = "/v1/events"
MESSAGE = {
    "source": "chat",
    "customer_id": "C42",
    "id": "m/3",
    "time": "2026-11-22T11:59:58.250Z",
    "data": {"author": "customer", "conversation_id": "c7"},
}
pytestmark = pytest.mark.usefixtures("environment")


def one(**changes: str) -> dict[str, object]:
    return {"events": [MESSAGE | changes]}


@pytest.fixture
def kafka(environment: ServingEnvironment) -> FakeKafka:
    """The events that were written."""
    return environment.kafka


def test_event_of_an_erased_customer_is_answered_as_a_strangers_and_not_sent(
    post: Post, kafka: FakeKafka, environment: ServingEnvironment
) -> None:
    add_suppressions([entry_of("C47")], datetime(2026, 1, 1, tzinfo=UTC))
    bodies = [one(customer_id=customer_id) for customer_id in ("C47", "unknown")]
    for _ in range(2):
        erased, unknown = (post(PATH, body) for body in bodies)
        assert (erased.status_code, erased.content) == (unknown.status_code, unknown.content)
    assert [event.subject for event in kafka] == [environment.subject("unknown")] * 2
    assert Suppression.objects.get().refused == 2


def test_events_of_strangers_are_not_sent_while_it_is_unknown_who_was_erased(
    post: Post, kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_wanted: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(event_permissions, "find_suppressions", unavailable)
    assert post(PATH, one(customer_id="unknown")).status_code == 503
    assert post(PATH, one()).status_code == 202
    assert len(kafka) == 1
