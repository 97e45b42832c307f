"""POST /v1/events: each checked as by the streams and answered by itself, without revealing who is a customer."""

import json
import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError
from msgspec import structs

from featurestore.access.services import create_client, create_key
from featurestore.api import event_checks, events
from featurestore.catalog.chat import chat
from featurestore.definitions import EventSource
from featurestore.ingest import acknowledged_writer
from featurestore.ingest.acknowledged_writer import AcknowledgedEventWriter, EncodedEvent
from featurestore.ingest.errors import NotAcknowledged
from tests.kit.api import Post
from tests.kit.serving_environment import NOW_MS, FakeKafka, ServingEnvironment

PATH = "/v1/events"
MESSAGE = {
    "source": "chat",
    "customer_id": "C42",
    "id": "m/3",
    "time": "2026-11-22T11:59:58.250Z",
    "data": {"author": "customer", "conversation_id": "c7", "sentiment": -0.4, "intent": "return"},
}

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def kafka(environment: ServingEnvironment) -> FakeKafka:
    """The events that were written."""
    return environment.kafka


def one(**changes: Any) -> dict[str, Any]:
    return {"events": [MESSAGE | changes]}


def answer(*results: dict[str, str]) -> dict[str, Any]:
    refused = sum(result["status"] == "refused" for result in results)
    return {"accepted": len(results) - refused, "refused": refused, "results": list(results)}


def test_event_is_encoded_as_the_streams_decode_it(post: Post, kafka: FakeKafka) -> None:
    response = post(PATH, one())
    assert (response.status_code, response.json()) == (202, answer({"status": "accepted"}))
    ((source, subject, value),) = kafka
    event = chat.decode(value)
    assert (source, subject, event.subject) == (
        chat,
        ServingEnvironment.subject("C42"),
        ServingEnvironment.subject("C42"),
    )
    assert event.time_ms == NOW_MS - 1_750
    assert dict(zip(chat.fields, event.values, strict=True)) == MESSAGE["data"]
    assert b"C42" not in value


def test_event_id_hash_depends_on_client_and_id_only(post: Post, kafka: FakeKafka) -> None:
    other = create_client("other-bot", owner="", actor="test")
    _, text = create_key(other, services=[], purposes=["service"], scopes=["events:write"], actor="test")
    for body in (one(), one(time="2026-11-22T10:00:00Z"), one(id="m/4")):
        post(PATH, body)
    post(PATH, one(), authorization=f"Bearer {text}")
    hashes = [chat.decode(event.value).event_id_hash for event in kafka]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


ACCEPTED, DUPLICATE = {"status": "accepted"}, {"status": "duplicate"}
NOT_COUNTED = {"status": "not_counted", "reason": "no_permission"}


def test_refused_and_unknown_customers_are_answered_alike(
    post: Post, kafka: FakeKafka, environment: ServingEnvironment
) -> None:
    answers = {post(PATH, one(customer_id=customer_id)).content for customer_id in ("C43", "C45", "unknown")}
    assert len(answers) == 1
    assert post(PATH, one(customer_id="C46")).json() == answer(NOT_COUNTED)
    assert len(kafka) == 4, "the streams decide"


def test_event_of_a_permitted_purpose_is_accepted(
    post: Post, kafka: FakeKafka, environment: ServingEnvironment
) -> None:
    environment.permit("C44", service=False, personalisation=True)
    assert post(PATH, one(customer_id="C44")).json() == answer(ACCEPTED)


def test_permission_of_a_purpose_that_the_key_lacks_is_not_told(
    post: Post, environment: ServingEnvironment, key: str
) -> None:
    environment.permit("C44", service=False, personalisation=True)
    other = create_client("other-bot", owner="", actor="test")
    keys = {
        purposes: create_key(other, services=[], purposes=[purposes], scopes=["events:write"], actor="test")[1]
        for purposes in ("service", "fraud")
    }
    told = {
        purpose: post(PATH, one(customer_id="C44", id=purpose), authorization=f"Bearer {text}")
        for purpose, text in keys.items()
    }
    assert told["service"].json() == answer(NOT_COUNTED)
    assert told["fraud"].json() == answer(ACCEPTED), "no view of the source serves that purpose: nothing is known"


def test_event_before_the_permission_is_not_counted(post: Post, environment: ServingEnvironment) -> None:
    environment.since_ms = NOW_MS - 60_000
    environment.permit("C44", service=True)
    at_the_start, before = "2026-11-22T11:59:00Z", "2026-11-22T11:58:59.999Z"
    assert post(PATH, one(customer_id="C44", id="a", time=at_the_start)).json() == answer(ACCEPTED)
    assert post(PATH, one(customer_id="C44", id="b", time=before)).json() == answer(NOT_COUNTED)


@pytest.mark.parametrize("broken", ["unavailable", "unvouched"])
def test_store_that_can_not_tell_refuses_no_event(
    post: Post, kafka: FakeKafka, environment: ServingEnvironment, broken: str
) -> None:
    if broken == "unavailable":
        environment.store.available = False
    else:
        environment.store.restart()
    assert post(PATH, one(customer_id="C43")).json() == answer(ACCEPTED)
    assert len(kafka) == 1


def test_repeated_event_is_told_to_be_one_and_sent_again(post: Post, kafka: FakeKafka) -> None:
    other = MESSAGE | {"id": "m/4"}
    assert post(PATH, {"events": [MESSAGE, other, MESSAGE]}).json() == answer(ACCEPTED, ACCEPTED, DUPLICATE)
    response = post(PATH, one(time="2026-11-22T11:00:00Z"))
    assert (response.status_code, response.json()) == (202, answer(DUPLICATE)), "the id decides"
    refused = MESSAGE | {"customer_id": "C43"}
    told = post(PATH, {"events": [refused, refused]}).json()
    assert told == answer(NOT_COUNTED, NOT_COUNTED), "of another customer, and neither counts"
    assert len(kafka) == 6, "the streams decide"


def test_unacknowledged_event_is_no_duplicate_when_it_is_sent_again(post: Post, kafka: FakeKafka) -> None:
    kafka.available = False
    assert post(PATH, one()).status_code == 503
    kafka.available = True
    assert post(PATH, one()).json() == answer(ACCEPTED)


def test_bad_event_among_a_hundred_refuses_no_other(post: Post, kafka: FakeKafka) -> None:
    many = [MESSAGE | {"id": str(i)} for i in range(100)]
    many[7] = MESSAGE | {"id": "7", "time": "2026-11-01T00:00:00Z"}
    many[9] = 5
    response = post(PATH, {"events": many})
    assert response.status_code == 207
    told = response.json()
    assert (told["accepted"], told["refused"], len(kafka)) == (98, 2, 98)
    assert told["results"][7] == {
        "status": "refused",
        "reason": "event-time",
        "detail": "An event is at most 6 days old - at `$.events[7].time`",
    }
    assert told["results"][9]["detail"] == "Expected `object`, got `int` - at `$.events[9]`"
    assert {index for index, result in enumerate(told["results"]) if result != ACCEPTED} == {7, 9}


def test_write_whose_every_event_is_refused_is_the_problem_of_the_first(post: Post, kafka: FakeKafka) -> None:
    old, wrong = MESSAGE | {"time": "2026-11-01T00:00:00Z"}, MESSAGE | {"id": ""}
    assert post(PATH, {"events": [old, wrong]}).json()["type"] == "urn:rapport:problem:event-time"
    assert post(PATH, {"events": [wrong, old]}).json()["type"] == "urn:rapport:problem:malformed"
    assert not kafka


def test_empty_optional_label_is_null(post: Post, kafka: FakeKafka) -> None:
    response = post(PATH, one(data=MESSAGE["data"] | {"intent": ""}))
    assert (response.status_code, response.json()) == (202, answer(ACCEPTED))
    assert b'"intent":null' in kafka[0].value
    refused = post(PATH, one(data=MESSAGE["data"] | {"conversation_id": ""})).json()
    assert refused["detail"] == "Expected `str` of length >= 1 - at `$.events[0].data.conversation_id`"


def test_request_has_1_to_100_events(post: Post, kafka: FakeKafka) -> None:
    many = [MESSAGE | {"id": str(i)} for i in range(101)]
    assert post(PATH, {"events": many[:100]}).json() == answer(*[ACCEPTED] * 100)
    for wrong in ([], many):
        response = post(PATH, {"events": wrong})
        assert response.status_code == 422
        assert response.json()["detail"] == "Send 1 to 100 events at a time - at `$.events`"
    assert len(kafka) == 100


def test_unavailable_kafka_is_503_with_advice(post: Post, kafka: FakeKafka) -> None:
    kafka.available = False
    response = post(PATH, one())
    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert "with the same ids" in response.json()["detail"]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"source": "orders"}, "Not a source that is open to clients: chat - at `$.events[1].source`"),
        ({"source": None}, "Expected `str`, got `null` - at `$.events[1].source`"),
        ({"customer_id": ""}, "Expected `str` of length >= 1 - at `$.events[1].customer_id`"),
        ({"customer_id": "a\0"}, "customer_id must not hold control characters - at `$.events[1].customer_id`"),
        ({"id": "two words"}, None),
        ({"id": "x" * 129}, None),
        ({"id": "x\n"}, None),
        ({"time": "2026-11-22T11:59:58"}, "Expected `datetime` with a timezone component - at `$.events[1].time`"),
        ({"time": 7}, None),
        (
            {"email": "ann@example.org"},
            "Unknown field: known are customer_id, id, time, source, data - at `$.events[1]`",
        ),
        ({"data": None}, "Expected `object`, got `null` - at `$.events[1].data`"),
        ({"data": {"author": "customer"}}, "Object missing required field `conversation_id` - at `$.events[1].data`"),
        (
            {"data": MESSAGE["data"] | {"text": "ann@example.org"}},
            "Unknown field: known are author, conversation_id, sentiment, intent - at `$.events[1].data`",
        ),
        (
            {"data": MESSAGE["data"] | {"author": "ann"}},
            "Not one of the values allowed - at `$.events[1].data.author`",
        ),
        ({"data": MESSAGE["data"] | {"sentiment": 1.01}}, "Expected `float` <= 1.0 - at `$.events[1].data.sentiment`"),
        ({"data": MESSAGE["data"] | {"intent": "x" * 129}}, None),
    ],
)
def test_wrong_event_is_refused_with_its_reason(
    post: Post, kafka: FakeKafka, change: dict[str, Any], detail: str | None
) -> None:
    response = post(PATH, {"events": [MESSAGE, MESSAGE | change]})
    assert response.status_code == 207
    first, second = response.json()["results"]
    assert (first, second["status"], second["reason"]) == (ACCEPTED, "refused", "malformed")
    assert "at `$.events[1]" in second["detail"]
    assert detail is None or second["detail"] == detail
    assert "ann" not in second["detail"]
    assert len(kafka) == 1


@pytest.mark.parametrize(
    ("time", "status"),
    [
        ("2026-11-22T12:05:00Z", 202),
        ("2026-11-22T12:05:00.001Z", 422),
        ("2026-11-16T12:00:00Z", 202),
        ("2026-11-16T11:59:59.999Z", 422),
        ("0001-01-01T00:00:00+23:59", 422),
        ("9999-12-31T23:59:59-23:59", 422),
    ],
)
def test_event_time_out_of_range_is_refused(post: Post, kafka: FakeKafka, time: str, status: int) -> None:
    response = post(PATH, one(time=time))
    assert response.status_code == status
    assert len(kafka) == (status == 202)
    if status == 422:
        assert response.json()["type"] == "urn:rapport:problem:event-time"
        assert response.json()["detail"].endswith("- at `$.events[0].time`")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"events": [], "events": []}',
        b'{"events": [], "events": [{"id": 1, "id": 2}]}',
        json.dumps(one()).replace('"data": {', '"data": {"author": "bot", ').encode(),
        json.dumps(one()).replace('"id": ', '"id": "m/2", "id": ').encode(),
    ],
)
def test_repeated_field_at_any_depth_is_refused(post: Post, kafka: FakeKafka, raw: bytes) -> None:
    assert post(PATH, raw).json()["detail"].startswith("A field is repeated: send each once")
    assert not kafka


def test_event_that_repeats_a_field_refuses_no_other(post: Post, kafka: FakeKafka) -> None:
    good, bad = json.dumps(MESSAGE), json.dumps(MESSAGE).replace('"id": ', '"id": "m/2", "id": ')
    results = post(PATH, f'{{"events": [{good}, {bad}]}}'.encode()).json()["results"]
    why = "A field is repeated: send each once - at `$.events[1]`"
    assert results == [ACCEPTED, {"status": "refused", "reason": "malformed", "detail": why}]
    assert len(kafka) == 1


def test_writing_needs_the_scope_events_write(post: Post, kafka: FakeKafka) -> None:
    reader = create_client("reader", owner="", actor="test")
    scopes = ["features:read", "consent:write"]
    _, text = create_key(reader, services=["support_chat"], purposes=["service"], scopes=scopes, actor="test")
    response = post(PATH, one(), authorization=f"Bearer {text}")
    assert response.status_code == 403
    assert response.json()["detail"] == "This key does not hold the scope events:write."
    assert not kafka


def test_only_writable_sources_are_open() -> None:
    assert list(events.WRITABLE.items()) == [("chat", chat)]
    assert not EventSource("closed", data=chat.data, type="test").writable


def test_documented_and_decoded_event_have_the_same_fields() -> None:
    documented = {field.name for field in structs.fields(events.event_struct(chat))}
    assert documented == {field.name for field in structs.fields(event_checks.UncheckedEvent)}


# -------------------------------------------------------------------------------------------------------- the writer


class ProducerStub:
    """A Kafka producer whose sent events a test acknowledges."""

    def __init__(self, *_: object) -> None:
        self.sent: list[Any] = []
        self.full = False

    def send(self, source: object, subject: str, value: bytes, on_delivery: Any) -> None:
        if self.full:
            raise BufferError
        self.sent.append(on_delivery)

    def poll(self, _timeout_s: float) -> None:
        threading.Event().wait()  # never returns


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> ProducerStub:
    stub = ProducerStub()
    monkeypatch.setattr(acknowledged_writer, "EventProducer", lambda *_: stub)
    return stub


def test_one_call_at_a_time_tries_unavailable_kafka(producer: ProducerStub) -> None:
    writer = AcknowledgedEventWriter(acknowledged_writer.settings().model_copy(update={"event_timeout_ms": 1}))
    event = EncodedEvent(chat, "0" * 32, b"")
    with pytest.raises(NotAcknowledged, match="Message timed out"):
        writer.write([event])
    writer.timeout_s = 60
    trying = threading.Thread(target=writer.write, args=([event],))
    trying.start()
    while len(producer.sent) < 2:
        trying.join(0.001)
    with pytest.raises(NotAcknowledged, match="another call is trying"):
        writer.write([event])
    producer.sent.pop()(None, None)
    trying.join()
    producer.sent.clear()
    recovered = threading.Thread(target=writer.write, args=([event] * 2,))
    recovered.start()
    while len(producer.sent) < 2:
        recovered.join(0.001)
    assert recovered.is_alive()
    for on_delivery in producer.sent:
        on_delivery(None, None)
    recovered.join()


def test_full_queue_is_not_acknowledged(producer: ProducerStub) -> None:
    writer = AcknowledgedEventWriter(acknowledged_writer.settings())
    producer.full = True
    with pytest.raises(NotAcknowledged, match="Queue full"):
        writer.write([EncodedEvent(chat, "0" * 32, b"")])


def test_error_of_kafka_is_in_the_exception(producer: ProducerStub) -> None:
    writer = AcknowledgedEventWriter(acknowledged_writer.settings())
    unknown = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    producer.send = lambda source, subject, value, on_delivery: on_delivery(unknown, None)  # type: ignore[method-assign]
    with pytest.raises(NotAcknowledged, match="Unknown topic or partition"):
        writer.write([EncodedEvent(chat, "0" * 32, b"")])


def test_error_of_one_topic_does_not_stop_the_others(producer: ProducerStub) -> None:
    writer = AcknowledgedEventWriter(acknowledged_writer.settings())
    unknown = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    answers = iter([unknown, None])
    producer.send = lambda source, subject, value, on_delivery: on_delivery(next(answers), None)  # type: ignore[method-assign]
    with pytest.raises(NotAcknowledged):
        writer.write([EncodedEvent(chat, "0" * 32, b"")])
    assert writer._trying.acquire(), "another call tries for as long as it may"
    writer.write([EncodedEvent(chat, "0" * 32, b"")])
