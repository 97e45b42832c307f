"""Access records of reads, and counts of requests by client, route and status."""

from typing import Any

import pytest

from featurestore.access.models import ApiKey
from featurestore.accesslog.batches import Batch
from featurestore.accesslog.writer import AccessLogWriter
from featurestore.api.handler import feature_handler
from tests.kit.access_log import MemoryStream
from tests.kit.api import Post
from tests.kit.serving_environment import NOW_MS, ServingEnvironment

QUERY = {"service": "support_chat", "purpose": "service", "customer_id": "C42", "features": ["spend_amount_sum_30d"]}
BATCH_QUERY = {"service": "support_chat", "purpose": "service", "features": ["spend_amount_sum_30d"]}


@pytest.fixture(autouse=True)
def own_handler(environment: ServingEnvironment, writer: AccessLogWriter) -> None:
    feature_handler.cache_clear()  # it holds the writer


def sent(writer: AccessLogWriter) -> Batch:
    """All that was recorded since the last call."""
    stream = writer.stream
    assert isinstance(stream, MemoryStream)
    stream.raws.clear()
    writer.flush()
    return stream.batches[0] if stream.batches else Batch("", 0, 0, 0, 0)


def test_read_is_recorded_with_client_subject_purpose_and_time(post: Post, writer: AccessLogWriter) -> None:
    assert post("/v1/features", QUERY, **{"X-Request-Id": "turn-0001"}).status_code == 200
    batch = sent(writer)
    (read,), (context,) = batch.reads, batch.contexts
    assert (read.subject, read.at_ms, read.request_id) == (ServingEnvironment.subject("C42"), NOW_MS, "turn-0001")
    assert (context.client, context.credential) == ("support-bot", ApiKey.objects.get().key_id)
    assert (context.service, context.purpose, context.given, context.withheld) == (
        "support_chat",
        "service",
        ["spend"],
        {},
    )


def test_withheld_read_is_recorded(post: Post, writer: AccessLogWriter) -> None:
    assert post("/v1/features", QUERY | {"customer_id": "C43"}).status_code == 200
    (context,) = sent(writer).contexts
    assert (context.given, context.withheld) == ([], {"spend": "refused"})


def test_unknown_customer_is_recorded_as_without_consent(post: Post, writer: AccessLogWriter) -> None:
    assert post("/v1/features", QUERY | {"customer_id": "unknown"}).status_code == 200
    assert sent(writer).contexts[0].withheld == {"spend": "no_consent"}


def test_batch_records_each_customer_once(post: Post, writer: AccessLogWriter) -> None:
    body = BATCH_QUERY | {"customer_ids": ["C42", "C43", "C42"]}
    assert post("/v1/features/batch", body, **{"X-Request-Id": "turn-0001"}).status_code == 200
    batch = sent(writer)
    recorded = [(read.subject, batch.contexts[read.context].given, read.request_id) for read in batch.reads]
    assert recorded == [
        (ServingEnvironment.subject("C42"), ["spend"], "turn-0001"),
        (ServingEnvironment.subject("C43"), [], "turn-0001"),
    ]


@pytest.mark.parametrize(
    ("change", "status"),
    [({"service": "nothing"}, 404), ({"purpose": "analytics"}, 403), ({"features": ["x"]}, 422), ({"x": 1}, 400)],
    ids=str,
)
def test_problem_records_no_access(post: Post, writer: AccessLogWriter, change: dict[str, Any], status: int) -> None:
    assert post("/v1/features", QUERY | change).status_code == status
    batch = sent(writer)
    assert batch.reads == []
    assert [(r.client, r.route, r.status) for r in batch.requests] == [("support-bot", "features", status)]


def test_unavailable_store_records_no_access(
    post: Post, environment: ServingEnvironment, writer: AccessLogWriter
) -> None:
    environment.store.available = False
    assert post("/v1/features", QUERY).status_code == 503
    assert sent(writer).reads == []


def test_requests_are_counted_by_client_route_and_status(post: Post, writer: AccessLogWriter) -> None:
    post("/v1/features", QUERY)
    post("/v1/features", QUERY)
    post("/v1/features", QUERY, authorization="Bearer wrong")
    post("/v1/consents", {})
    counts = {(r.client, r.route, r.status): r.count for r in sent(writer).requests}
    assert counts == {
        ("support-bot", "features", 200): 2,
        ("", "features", 401): 1,
        ("support-bot", "consents", 400): 1,
    }


def test_unavailable_control_redis_loses_no_record(post: Post, writer: AccessLogWriter) -> None:
    writer.stream.available = False  # type: ignore[attr-defined]
    for _ in range(3):
        assert post("/v1/features", QUERY).status_code == 200
        writer.flush()
    writer.stream.available = True  # type: ignore[attr-defined]
    for _ in range(20):
        writer.flush()
    assert len(writer.stream.reads()) == 3  # type: ignore[attr-defined]


def test_refused_as_of_read_is_recorded(post: Post, writer: AccessLogWriter) -> None:
    before = {"as_of": "2026-11-20T08:00:00Z"}
    assert post("/v1/features", QUERY | before).status_code == 422
    assert [read.subject for read in sent(writer).reads] == [ServingEnvironment.subject("C42")]
    assert post("/v1/features/batch", BATCH_QUERY | before | {"customer_ids": ["C43", "C42"]}).status_code == 422
    assert [read.subject for read in sent(writer).reads] == [
        ServingEnvironment.subject("C43"),
        ServingEnvironment.subject("C42"),
    ]
