"""Trace context of a request: a valid traceparent is continued, otherwise a new trace begins."""

import json
import logging
import re

import pytest

from featurestore.api.trace import trace_of
from featurestore.logs import request_log
from tests.api.test_features import FEATURES_PATH, QUERY
from tests.kit.api import Post
from tests.kit.serving_environment import ServingEnvironment

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
ANSWERED = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        (TRACEPARENT, 1),
        (f"00-{TRACE_ID}-{PARENT_ID}-03", 3),  # level 2: the id is random
        (f"00-{TRACE_ID}-{PARENT_ID}-ff", 3),  # undefined flags are not passed on
        (f"01-{TRACE_ID}-{PARENT_ID}-00", 0),  # a later version
        (f"cc-{TRACE_ID}-{PARENT_ID}-01-what-the-future-will-be-like", 1),
    ],
)
def test_valid_traceparent_is_continued_with_a_new_span(header: str, flags: int) -> None:
    trace = trace_of(header)
    assert (trace.trace_id, trace.flags) == (TRACE_ID, flags)
    assert trace.span_id != PARENT_ID
    assert re.fullmatch("[0-9a-f]{16}", trace.span_id)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        TRACEPARENT.upper(),
        f"00-{TRACE_ID}-{PARENT_ID}",
        f"00-{TRACE_ID}-{PARENT_ID}-1",
        f"00-{TRACE_ID}-{PARENT_ID}-01-more",  # version 00 has no more
        f"01-{TRACE_ID}-{PARENT_ID}-01more",
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[1:]}g-{PARENT_ID}-01",
        f"{TRACEPARENT}\n",
        f" {TRACEPARENT}",
        f"{TRACEPARENT},{TRACEPARENT}",  # as a server joins a header that was sent twice
    ],
)
def test_malformed_traceparent_begins_a_new_trace(header: str | None) -> None:
    trace, other = trace_of(header), trace_of(header)
    assert trace.trace_id != TRACE_ID
    assert trace.trace_id != other.trace_id
    assert trace.flags == 2
    assert ANSWERED.fullmatch(trace.response)


@pytest.mark.parametrize("status", [200, 400])
def test_trace_is_logged_and_answered(
    post: Post,
    environment: ServingEnvironment,
    capfd: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    query = QUERY if status == 200 else QUERY | {"customer_id": 42}
    with caplog.at_level(logging.INFO):
        response = post(FEATURES_PATH, query, traceparent=TRACEPARENT)
    found = ANSWERED.fullmatch(response["traceresponse"])
    assert response.status_code == status
    assert found
    assert found[1] == TRACE_ID
    request_log.flush()
    (line,) = [json.loads(text) for text in capfd.readouterr().err.splitlines() if text.startswith("{")]
    assert (line["trace_id"], line["span_id"]) == (TRACE_ID, found[2])
