"""Access log writer: reads and requests are sent once, in order, and within bounds. Codec of batches."""

import os
import threading
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devservers.waiting import eventually
from featurestore.accesslog import writer as writer_module
from featurestore.accesslog.batches import MAX_EVICTED, BadBatch, Batch, BatchContext, decode, encode
from featurestore.accesslog.writer import (
    FLUSHES_PER_HEARTBEAT,
    FLUSHES_PER_RETRY,
    MAX_BATCH_READS,
    MAX_BATCHES_PER_SEND,
    AccessLogWriter,
)
from featurestore.serving.answer import EVICTED, Answer, Status, ViewAnswer
from tests.accesslog.harness import ANN, BEN, NOW_MS, Bot, read
from tests.kit.access_log import MemoryStream


@pytest.fixture
def stream() -> MemoryStream:
    return MemoryStream()


@pytest.fixture
def writer(stream: MemoryStream, monkeypatch: pytest.MonkeyPatch) -> AccessLogWriter:
    """A writer without a thread: the test flushes it."""
    monkeypatch.setattr(writer_module, "SHUTDOWN_S", 0.0)
    made = AccessLogWriter(stream, 1000, lambda: NOW_MS)
    monkeypatch.setattr(made, "start", lambda: None)
    return made


def flush(writer: AccessLogWriter, count: int) -> None:
    for _ in range(count):
        writer.flush()


def test_read_leaves_a_record_for_each_subject(writer: AccessLogWriter, stream: MemoryStream) -> None:
    read(writer, "request-1", [ANN, BEN], spend=None, mood="refused")
    read(writer, "request-2", [ANN], spend=None, mood="refused")
    read(writer, "request-3", [ANN], spend=None, mood=None)
    writer.flush()
    (batch,) = stream.batches
    assert (batch.process, batch.number, batch.first, batch.created_ms) == (writer.process, 1, 0, NOW_MS)
    assert [(r.context, r.subject, r.at_ms, r.request_id) for r in batch.reads] == [
        (0, ANN, NOW_MS, "request-1"), (0, BEN, NOW_MS, "request-1"), (0, ANN, NOW_MS, "request-2"),
        (1, ANN, NOW_MS, "request-3"),
    ]  # fmt: skip
    who = ("support-bot", "0123456789ab", "support_chat", "service")
    assert batch.contexts == [
        BatchContext(*who, ["spend"], {"mood": "refused"}),
        BatchContext(*who, ["spend", "mood"], {}),
    ]


def test_no_feature_value_is_sent(writer: AccessLogWriter, stream: MemoryStream) -> None:
    read(writer)
    writer.flush()
    assert all(b"spend_30d" not in raw for raw in stream.raws)


def test_evicted_subjects_that_were_read_are_named_once(writer: AccessLogWriter, stream: MemoryStream) -> None:
    def add(subject: str, view: ViewAnswer) -> None:
        answer = Answer("support_chat", "service", "2027-01-15T08:00:00.000Z", {}, {"spend": view})
        writer.add_read(Bot(), "support_chat", "service", [subject], [answer], NOW_MS, "request-1")

    for _ in range(3):
        add(ANN, ViewAnswer(Status.STALE, reason=EVICTED))
        add(BEN, ViewAnswer(Status.STALE, reason="older than the view's 60 s"))
    flush(writer, 2)
    assert [batch.evicted for batch in stream.batches] == [[ANN]]
    for number in range(MAX_EVICTED + 1):
        add(f"{number:032x}", ViewAnswer(Status.STALE, reason=EVICTED))
    flush(writer, 2)
    assert [len(batch.evicted) for batch in stream.batches[1:]] == [MAX_EVICTED, 0]


def test_requests_are_counted(writer: AccessLogWriter, stream: MemoryStream) -> None:
    for client, status in [("bot", 200), ("bot", 200), ("", 401), ("bot", 503)]:
        writer.add_request(client, "features", status)
    flush(writer, 2)
    (batch,) = stream.batches
    counts = {(c.client, c.route, c.status): c.count for c in batch.requests}
    assert counts == {("bot", "features", 200): 2, ("", "features", 401): 1, ("bot", "features", 503): 1}


def test_batches_and_records_are_numbered(writer: AccessLogWriter, stream: MemoryStream) -> None:
    for count in (3, 1, 2):
        for _ in range(count):
            read(writer)
        writer.flush()
    assert [(batch.number, batch.first, batch.next) for batch in stream.batches] == [(1, 0, 3), (2, 3, 4), (3, 4, 6)]


def test_many_records_are_split_into_batches(writer: AccessLogWriter, stream: MemoryStream) -> None:
    writer.add_request("bot", "features", 200)
    subjects = [f"{n:032x}" for n in range(MAX_BATCH_READS * 2 + 1)]
    read(writer, "request-1", subjects)
    writer.flush()
    assert [(b.first, len(b.reads), len(b.requests)) for b in stream.batches] == [
        (0, MAX_BATCH_READS, 1), (MAX_BATCH_READS, MAX_BATCH_READS, 0), (2 * MAX_BATCH_READS, 1, 0),
    ]  # fmt: skip
    assert [subject for subject, _ in stream.reads()] == subjects


def test_heartbeat_is_sent_at_once_and_every_second(writer: AccessLogWriter, stream: MemoryStream) -> None:
    writer.flush()
    assert [(heartbeat.process, heartbeat.first) for heartbeat in stream.heartbeats] == [(writer.process, 0)]
    flush(writer, FLUSHES_PER_HEARTBEAT - 1)
    assert len(stream.heartbeats) == 1
    read(writer)
    writer.flush()
    assert [heartbeat.first for heartbeat in stream.heartbeats] == [0, 1]


def test_pending_batches_are_sent_once_in_order_after_an_outage(writer: AccessLogWriter, stream: MemoryStream) -> None:
    stream.available = False
    for n in range(MAX_BATCHES_PER_SEND + 5):
        read(writer, f"request-{n}")
        writer.flush()
    assert stream.raws == []
    stream.available = True
    flush(writer, FLUSHES_PER_RETRY + 1)
    assert stream.reads() == [(ANN, f"request-{n}") for n in range(MAX_BATCHES_PER_SEND + 5)]
    assert [batch.number for batch in stream.batches] == list(range(1, MAX_BATCHES_PER_SEND + 6))


def test_absent_stream_is_tried_twice_a_second(
    writer: AccessLogWriter, stream: MemoryStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    monkeypatch.setattr(stream, "size_bytes", lambda: tries.append(1) or MemoryStream(available=False).size_bytes())
    flush(writer, 2 * (FLUSHES_PER_RETRY + 1))
    assert len(tries) == 2


def test_unconfirmed_batch_is_sent_again_unchanged(writer: AccessLogWriter, stream: MemoryStream) -> None:
    writer.flush()
    stream.answer_lost = True
    read(writer)
    writer.flush()
    stream.answer_lost = False
    read(writer)
    flush(writer, FLUSHES_PER_RETRY + 1)
    first, again, second = stream.batches
    assert first == again
    assert (second.number, second.first) == (2, 1)


def test_oldest_batches_are_dropped_beyond_the_bound(
    writer: AccessLogWriter, stream: MemoryStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_PENDING", 10)
    stream.available = False
    for n in range(15):
        read(writer, f"request-{n}")
        writer.flush()
    stream.available = True
    flush(writer, FLUSHES_PER_RETRY + 1)
    assert stream.reads() == [(ANN, f"request-{n}") for n in range(5, 15)]
    assert stream.batches[0].first == 5


def test_full_stream_gets_only_heartbeats(writer: AccessLogWriter, stream: MemoryStream) -> None:
    stream.size = 1000
    read(writer)
    flush(writer, FLUSHES_PER_HEARTBEAT + 1)
    assert (len(stream.heartbeats), stream.batches) == (2, [])
    stream.size = 999
    flush(writer, FLUSHES_PER_HEARTBEAT)
    assert [subject for subject, _ in stream.reads()] == [ANN]


def test_shutdown_sends_pending_records_and_a_shutdown_record(writer: AccessLogWriter, stream: MemoryStream) -> None:
    read(writer)
    writer.final_flush()
    assert [(batch.first, batch.next, batch.shutdown) for batch in stream.batches] == [(0, 1, False), (1, 1, True)]


def test_shutdown_record_is_sent_to_a_full_stream(writer: AccessLogWriter, stream: MemoryStream) -> None:
    stream.size = 1000
    read(writer, subjects=[ANN, BEN])
    writer.final_flush()
    assert [(batch.first, batch.shutdown) for batch in stream.batches] == [(2, True)]


def test_shutdown_ends_while_the_stream_is_unavailable(writer: AccessLogWriter, stream: MemoryStream) -> None:
    stream.available = False
    read(writer)
    writer.final_flush()
    assert stream.raws == []


def test_unpackable_read_leaves_a_gap_and_later_ones_are_sent(stream: MemoryStream) -> None:
    writer = AccessLogWriter(stream, 1000, lambda: NOW_MS)
    writer.add_read(None, "support_chat", "service", [ANN], [], NOW_MS, "x")  # type: ignore[arg-type]
    try:
        eventually(lambda: stream.heartbeats, "the thread starts")
        read(writer, "request-2")
        eventually(lambda: stream.reads(), "the next read is sent")
    finally:
        writer.stop()
    assert stream.reads() == [(ANN, "request-2")]
    assert stream.batches[0].first == 1


def test_concurrent_threads_lose_and_double_nothing(stream: MemoryStream) -> None:
    writer = AccessLogWriter(stream, 1000, lambda: NOW_MS)

    def answer_requests(name: int) -> None:
        for n in range(500):
            read(writer, f"request-{name}-{n}")
            writer.add_request("bot", "features", 200)

    threads = [threading.Thread(target=answer_requests, args=[name]) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.stop()
    assert Counter(request for _, request in stream.reads()) == {
        f"request-{name}-{n}": 1 for name in range(8) for n in range(500)
    }
    assert sum(count.count for batch in stream.batches for count in batch.requests) == 4000
    assert [batch.first for batch in stream.batches[1:]] == [batch.next for batch in stream.batches[:-1]]
    assert stream.batches[-1].shutdown


def test_read_after_a_stop_starts_the_writer_again(stream: MemoryStream) -> None:
    writer = AccessLogWriter(stream, 1000, lambda: NOW_MS)
    read(writer, "request-1")
    writer.stop()
    read(writer, "request-2")
    writer.stop()
    writer.stop()
    assert [request for _, request in stream.reads()] == ["request-1", "request-2"]
    assert [batch.shutdown for batch in stream.batches] == [False, True, False, True]


def test_forked_child_writes_as_a_new_process(stream: MemoryStream, tmp_path: object) -> None:
    writer = AccessLogWriter(stream, 1000, lambda: NOW_MS)
    read(writer, "the parent's")
    writer.start()
    out, into = os.pipe()
    if not (child := os.fork()):
        stream.raws.clear()
        read(writer, "the child's")
        writer.stop()
        sent = f"{writer.process} {sorted(request for _, request in stream.reads())}"
        os.write(into, sent.encode())
        os._exit(0)
    os.waitpid(child, 0)
    process, _, sent = os.read(out, 1000).decode().partition(" ")
    writer.stop()
    assert sent == '["the child\'s"]'
    assert process != writer.process
    assert [request for _, request in stream.reads()] == ["the parent's"]


@given(st.binary())
def test_arbitrary_bytes_are_decoded_or_refused(raw: bytes) -> None:
    with suppress(BadBatch):
        assert isinstance(decode(raw), Batch)


GOOD = Batch("0" * 16, NOW_MS, 1, NOW_MS, 0, [BatchContext("a", "b", "c", "d", [], {})], [], [])


@pytest.mark.parametrize(
    "change",
    [
        {"process": "x"}, {"number": -1}, {"number": 2**40}, {"created_ms": 10**15}, {"first": -1},
        {"reads": [[1, ANN, 0, "r"]]}, {"reads": [[0, "C42", 0, "r"]]}, {"reads": [[0, ANN, -1, "r"]]},
        {"reads": [[0, ANN, 0, "r" * 65]]}, {"requests": [["a", "b", 200, 0]]}, {"requests": [["a", "b", 99, 1]]},
        {"contexts": [["a" * 101, "b", "c", "d", [], {}]]}, {"contexts": [["a\0", "b", "c", "d", [], {}]]},
        {"contexts": [["a", "b", "c", "d", [], {"view": "\0"}]]}, {"shutdown": 3},
        {"reads": [[0, ANN, 0, "\0"]]}, {"requests": [["a", "\0", 200, 1]]}, {"evicted": ["C42"]},
        {"evicted": [ANN] * (MAX_EVICTED + 1)},
    ],
    ids=lambda change: str(change)[:50],
)  # fmt: skip
def test_batch_with_an_invalid_field_is_refused(change: dict[str, object]) -> None:
    assert decode(encode(GOOD)) == GOOD
    with pytest.raises(BadBatch):
        decode(encode([change.get(name, getattr(GOOD, name)) for name in GOOD.__struct_fields__]))
