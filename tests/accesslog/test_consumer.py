"""Consumer: every record once and every gap known, though batches come twice, late or broken."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError

from featurestore.access.models import ClientUsage
from featurestore.accesslog import consumer
from featurestore.accesslog.batches import decode
from featurestore.accesslog.consumer import VANISHED_AFTER_MS
from featurestore.accesslog.models import AccessGap, AccessRecord, ReadContext, WriterProcess
from featurestore.accesslog.stream import FIELD, KEY, QUARANTINE_KEY, RecordStream
from featurestore.config import settings
from featurestore.serving.answer import EVICTED, Answer, Status, ViewAnswer
from tests.accesslog.harness import ANN, BEN, NOW, NOW_MS, Bot, ControlRedis, gaps, read, stored, usage
from tests.kit.access_log import answer
from tests.kit.threads import at_once


def test_read_is_stored_with_client_subject_views_and_time(control: ControlRedis) -> None:
    writer = control.writer()
    read(writer, "request-1", [ANN, BEN], spend=None, mood="refused")
    writer.flush()
    control.consume()
    assert stored() == {(ANN, "request-1"): 1, (BEN, "request-1"): 1}
    found = AccessRecord.objects.select_related("context").get(subject=ANN)
    context = found.context
    assert found.at == NOW
    assert (context.client, context.credential) == ("support-bot", "0123456789ab")
    assert (context.service, context.purpose) == ("support_chat", "service")
    assert (context.given, context.withheld) == (["spend"], {"mood": "refused"})
    assert control.redis.xlen(KEY) == 0
    assert gaps() == []


def test_values_of_evicted_subjects_that_were_read_are_requested(
    control: ControlRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested: list[str] = []

    class Requests:
        def send(self, subjects: Iterable[str]) -> int:
            requested.extend(subjects)
            return 0

    monkeypatch.setattr(consumer, "value_requests", Requests)
    writer = control.writer()
    read(writer)
    writer.flush()
    control.consume()
    assert requested == []
    evicted = Answer("support_chat", "service", "", {}, {"spend": ViewAnswer(Status.STALE, reason=EVICTED)})
    for subject in (ANN, BEN, ANN):
        writer.add_read(Bot(), "support_chat", "service", [subject], [evicted], NOW_MS, "request-2")
        writer.flush()
    control.consume()
    assert requested == [ANN, BEN]
    assert stored()[ANN, "request-2"] == 2


def test_similar_reads_share_one_context(control: ControlRedis) -> None:
    one, other = control.writer(), control.writer()
    for writer in (one, other, one):
        read(writer)
        writer.flush()
        control.consume()
    assert (ReadContext.objects.count(), AccessRecord.objects.count()) == (1, 3)


def test_requests_are_summed_by_hour(control: ControlRedis) -> None:
    one, other = control.writer(), control.writer()
    for writer in (one, other, one):
        writer.add_request("bot", "features", 200)
        writer.add_request("", "features", 401)
        writer.flush()
    one.clock_ms = lambda: NOW_MS + 3_600_000
    one.add_request("bot", "features", 200)
    one.flush()
    control.consume()
    hours = ClientUsage.objects.filter(client="bot").order_by("hour").values_list("hour", "requests")
    assert list(hours) == [(NOW.replace(minute=0), 3), (NOW.replace(minute=0) + timedelta(hours=1), 1)]
    assert ClientUsage.objects.get(client="").requests == 3


def raising(error: type[BaseException]) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise error

    return fail


def send_again(control: ControlRedis, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
    for _, fields in entries:
        control.redis.xadd(KEY, fields)


def test_repeated_batches_count_once(control: ControlRedis) -> None:
    writer = control.writer()
    for n in range(3):
        read(writer, f"request-{n}")
        writer.add_request("bot", "features", 200)
        writer.flush()
    entries = control.redis.xrange(KEY)
    send_again(control, entries)
    control.consume()
    send_again(control, entries)
    control.consume()
    assert stored() == {(ANN, f"request-{n}"): 1 for n in range(3)}
    assert usage() == {("bot", "features", 200): 3}
    assert gaps() == []


def test_consumer_killed_after_its_commit_is_repeated_harmlessly(
    control: ControlRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = control.writer()
    read(writer)
    writer.add_request("bot", "features", 200)
    writer.flush()
    with monkeypatch.context() as patch:
        patch.setattr(control.stream, "delete", raising(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            control.consume()
    assert (stored().total(), control.redis.xlen(KEY) > 0) == (1, True)
    control.consume()
    assert (stored().total(), control.redis.xlen(KEY)) == (1, 0)
    assert usage() == {("bot", "features", 200): 1}


def test_database_outage_loses_nothing(control: ControlRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = control.writer()
    read(writer)
    writer.add_request("bot", "features", 200)
    writer.flush()

    with monkeypatch.context() as patch:
        patch.setattr(consumer, "_count_requests", raising(OperationalError))
        with pytest.raises(OperationalError):
            control.consume()
    assert stored().total() == 0, "a page is written as a whole or not at all"
    control.consume()
    assert stored().total() == 1
    assert usage() == {("bot", "features", 200): 1}


def test_concurrent_consumers_write_each_record_once(control: ControlRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "LEASE_S", 0.0)  # the lease excludes no other consumer
    monkeypatch.setattr(consumer, "PAGE_ENTRIES", 3)
    writers = [control.writer() for _ in range(4)]
    for n in range(30):
        for name, writer in enumerate(writers):
            read(writer, f"request-{name}-{n}", [ANN, BEN])
            writer.add_request("bot", "features", 200)
            writer.flush()
    at_once(*[lambda: consumer.consume(control.stream)] * 4)
    control.consume()
    expected = {(subject, f"request-{name}-{n}"): 1 for subject in (ANN, BEN) for name in range(4) for n in range(30)}
    assert stored() == Counter(expected)
    assert usage() == {("bot", "features", 200): 120}
    assert gaps() == []
    assert control.redis.xlen(KEY) == 0


def test_consumer_stops_when_it_loses_its_lease(control: ControlRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = control.writer()
    for n in range(3):
        read(writer, f"request-{n}")
        writer.flush()
    monkeypatch.setattr(consumer, "PAGE_ENTRIES", 1)
    monkeypatch.setattr("featurestore.jobs.job_leases.HeldJobLease.renew", lambda _: False)
    assert control.consume() == 1


def test_lost_entries_are_a_gap_of_exact_size(control: ControlRedis) -> None:
    writer = control.writer()
    read(writer)
    writer.flush()
    control.consume()
    for n in range(5):
        read(writer, f"lost-{n}")
    writer.flush()
    control.redis.delete(KEY)  # like a control Redis that restarts without its last second
    writer.clock_ms = lambda: NOW_MS + 2000
    read(writer, "request-2")
    writer.flush()
    control.consume()
    assert gaps() == [("lost", 1, 5)]
    gap = AccessGap.objects.get()
    assert (gap.since, gap.until) == (NOW, NOW + timedelta(seconds=2))
    assert stored() == {(ANN, "request-1"): 1, (ANN, "request-2"): 1}


def test_shutdown_record_reveals_lost_entries(control: ControlRedis) -> None:
    writer = control.writer()
    read(writer, subjects=[ANN, BEN])
    writer.flush()
    control.redis.delete(KEY)
    writer.final_flush()
    control.consume()
    assert gaps() == [("lost", 0, 2)]


def test_process_with_a_shutdown_record_does_not_vanish(control: ControlRedis) -> None:
    writer = control.writer()
    read(writer)
    writer.final_flush()
    control.consume()
    control.consume(later_ms=VANISHED_AFTER_MS + 1000)
    assert (gaps(), WriterProcess.objects.get().state) == ([], "ended")


def test_late_heartbeat_leaves_an_ended_process_ended(control: ControlRedis) -> None:
    writer = control.writer()
    writer.flush()
    heartbeat = control.redis.xrange(KEY)
    writer.final_flush()
    send_again(control, heartbeat)
    control.consume()
    control.consume(later_ms=VANISHED_AFTER_MS + 1000)
    assert (gaps(), WriterProcess.objects.get().state) == ([], "ended")


def test_vanished_process_leaves_a_gap_of_unknown_size(control: ControlRedis) -> None:
    writer = control.writer()
    read(writer)
    writer.flush()
    control.consume()
    assert gaps() == [], "the process may only be slow"
    control.consume(later_ms=VANISHED_AFTER_MS + 1000)
    control.consume()
    assert gaps() == [("vanished", 1, None)]
    gap = AccessGap.objects.get()
    assert (gap.since, gap.until) == (NOW, NOW + timedelta(milliseconds=VANISHED_AFTER_MS + 1000))


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_gap_spans_both_times_when_a_clock_was_set(control: ControlRedis, jump_s: int) -> None:
    writer = control.writer()
    read(writer)
    writer.flush()
    control.consume()
    read(writer)
    writer.flush()
    control.redis.delete(KEY)
    writer.clock_ms = lambda: NOW_MS + jump_s * 1000
    read(writer)
    writer.flush()
    writer.clock_ms = lambda: NOW_MS + 1000
    read(writer)
    writer.flush()
    control.consume()
    gap = AccessGap.objects.get()
    assert (gap.missing, gap.since, gap.until) == (1, *sorted([NOW, NOW + timedelta(seconds=jump_s)]))
    assert WriterProcess.objects.get().complete_until == NOW + timedelta(seconds=1)


def test_process_vanishes_while_others_keep_writing(control: ControlRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    vanished, busy = control.writer(), control.writer()
    vanished.flush()
    control.consume()
    monkeypatch.setattr(
        control.stream, "delete", lambda ids: (read(busy), busy.flush(), RecordStream.delete(control.stream, ids))
    )
    read(busy)
    busy.flush()
    assert control.consume(later_ms=VANISHED_AFTER_MS + 1000) < 10
    assert ("vanished", 0, None) in gaps()


def test_process_that_sent_only_a_heartbeat_vanishes_too(control: ControlRedis) -> None:
    control.writer().flush()
    control.consume()
    control.consume(later_ms=VANISHED_AFTER_MS + 1000)
    assert gaps() == [("vanished", 0, None)]


def test_process_does_not_vanish_while_entries_are_unread(
    control: ControlRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = control.writer()
    writer.flush()
    control.consume()
    read(writer)
    writer.flush()
    monkeypatch.setattr(consumer, "MAX_PAGES", 1)
    monkeypatch.setattr(consumer, "PAGE_ENTRIES", 1)
    control.consume(later_ms=VANISHED_AFTER_MS + 1000)
    assert gaps() == [], "its newest batches may be behind this page"


def test_vanished_process_that_writes_again_loses_its_gap(control: ControlRedis) -> None:
    writer = control.writer()
    read(writer)
    writer.flush()
    control.consume()
    control.consume(later_ms=VANISHED_AFTER_MS + 1000)
    assert len(gaps()) == 1
    read(writer, "request-2")
    writer.flush()
    control.consume()
    assert (gaps(), WriterProcess.objects.get().state) == ([], "running")
    assert stored() == {(ANN, "request-1"): 1, (ANN, "request-2"): 1}


def test_no_process_vanishes_right_after_a_redis_restart(control: ControlRedis) -> None:
    writer = control.writer()
    writer.flush()
    control.consume()
    control.stream.uptime_ms = 100
    control.consume(later_ms=VANISHED_AFTER_MS + 1000)
    assert gaps() == []


def test_undecodable_entries_are_quarantined_and_block_no_others(control: ControlRedis) -> None:
    writer = control.writer()
    read(writer, "request-1")
    writer.flush()
    control.redis.xadd(KEY, {FIELD: b"\xc1 rubbish"})
    control.redis.xadd(KEY, {b"other": b"field"})
    read(writer, "request-2")
    writer.flush()
    control.consume()
    assert stored() == {(ANN, "request-1"): 1, (ANN, "request-2"): 1}
    assert [fields[FIELD] for _, fields in control.redis.xrange(QUARANTINE_KEY)] == [b"\xc1 rubbish", b""]
    assert control.redis.xlen(KEY) == 0


def test_batch_refused_by_the_database_is_quarantined_and_a_gap(
    control: ControlRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = control.writer()
    for n in range(3):
        read(writer, f"request-{n}")
        writer.flush()
    count = consumer._count_requests

    def refuse(batches: Any) -> None:
        batches = list(batches)
        if any(read.request_id == "request-1" for batch in batches for read in batch.reads):
            raise DataError("value out of range")
        count(batches)

    monkeypatch.setattr(consumer, "_count_requests", refuse)
    control.consume()
    assert stored() == {(ANN, "request-0"): 1, (ANN, "request-2"): 1}
    assert gaps() == [("lost", 1, 1)]
    (quarantined,) = control.redis.xrange(QUARANTINE_KEY)
    assert decode(quarantined[1][FIELD]).reads[0].request_id == "request-1"


def test_retention_deletes_by_age_and_keeps_the_rest(control: ControlRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "PRUNE_ROWS", 2)
    before_ms = NOW_MS - 10 * 86_400_000
    kept, old = control.writer(), control.writer(before_ms)
    for n in range(6):
        old.add_read(Bot(), "support_chat", "fraud", [ANN], [answer(spend=None)], before_ms, f"old-{n}")
        old.add_request("bot", "features", 200)
        old.flush()
        if not n:
            control.redis.delete(KEY)  # the first one is lost
    old.final_flush()
    read(kept, "new")
    kept.add_request("bot", "features", 200)
    kept.flush()
    control.consume()
    ReadContext.objects.update(created_at=NOW - timedelta(days=10))
    assert len(gaps()) == 1
    later = NOW + timedelta(days=settings().access_record_days - 5)
    assert consumer.prune(later) == 5
    assert stored() == {(ANN, "new"): 1}
    assert [context.purpose for context in ReadContext.objects.all()] == ["service"]
    assert (usage(), gaps()) == ({("bot", "features", 200): 1}, [])
    assert [process.name for process in WriterProcess.objects.all()] == [kept.process]
    assert consumer.prune(later) == 0


def test_retention_keeps_running_processes(control: ControlRedis) -> None:
    writer = control.writer()
    read(writer)
    writer.flush()
    control.consume()
    consumer.prune(NOW + timedelta(days=settings().access_record_days + 1))
    assert WriterProcess.objects.exists()
    read(writer, "request-2")
    writer.flush()
    control.consume()
    assert (stored(), gaps()) == ({(ANN, "request-2"): 1}, [])
