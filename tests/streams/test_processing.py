"""Processing of micro-batches: the stored records and fields, also when permissions change meanwhile."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from faust.types import TP

from featurestore.serving.answer import Status
from featurestore.serving.reader import rfc3339
from featurestore.store.cluster import ClusterStore
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import FieldWrite, WriteOutcome
from featurestore.tiles.state_record import UnknownFormat, decode
from streams import coverage
from streams.metrics import OUTCOMES
from tests.kit.purchases import spend
from tests.kit.stores import vouch
from tests.streams.environment import ANN, BOB, NOW_MS, TOPIC, ProcessingEnvironment, fill


@pytest.fixture
def env() -> ProcessingEnvironment:
    made = ProcessingEnvironment()
    made.permit(ANN)
    return made


def test_folded_events_are_served(env: ProcessingEnvironment) -> None:
    env.fold(env.record(env.raw(amount=5)), env.record(env.raw(amount=7)))
    answer = env.read()
    assert answer.features["spend_amount_sum_1h"] == 12
    assert answer.views["spend"].status is Status.PRESENT
    assert answer.views["spend"].age_s == 0


def test_one_changelog_record_a_changed_subject(env: ProcessingEnvironment) -> None:
    env.permit(BOB)
    env.fold(*(env.record(env.raw(subject), subject) for subject in (ANN, BOB) * 5))
    assert [commit.keys() for commit in env.table.commits] == [{coverage.KEY}, {ANN.encode(), BOB.encode()}]


def test_burst_of_one_subject_is_one_changelog_record_and_one_write(env: ProcessingEnvironment) -> None:
    written: list[FieldWrite] = []
    write = env.store.write
    env.store.write = lambda writes, now_ms: written.extend(writes) or write(writes, now_ms)  # type: ignore[method-assign]
    env.fold(*(env.record(env.raw(at_ms=NOW_MS - 10_000 + i, amount=1)) for i in range(10_000)))
    assert [commit.keys() for commit in env.table.commits] == [{coverage.KEY}, {ANN.encode()}]
    assert len(written) == 1
    assert env.count() == 10_000


def test_nothing_is_stored_of_a_subject_without_permission(env: ProcessingEnvironment) -> None:
    env.fold(env.record(env.raw(BOB), BOB))
    assert BOB.encode() not in env.table.values
    assert env.count(BOB) is None


def test_replayed_batch_is_not_folded_but_written_again(env: ProcessingEnvironment) -> None:
    batch = env.fold(env.record(env.raw()))
    env.empty()  # the crash came between the table and the store
    env.permit()
    asyncio.run(env.new_worker().handle([batch]))
    env.advance_watermark(0)
    assert env.count() == 1


class InterleavingStore(MemoryStore):
    """Store in which something happens between the streams' read and their write."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile = [lambda: None]

    def write(self, writes: list[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().write(writes, now_ms)


def interleaved(meanwhile: Callable[[ProcessingEnvironment], None]) -> ProcessingEnvironment:
    env = ProcessingEnvironment()
    env.store = InterleavingStore()
    vouch(env.store)
    env.micro_batches = env.new_worker()
    env.permit()
    env.store.meanwhile = [lambda: meanwhile(env)]
    return env


def test_table_of_an_earlier_version_is_refused_with_the_remedy() -> None:
    env = ProcessingEnvironment()
    env.permit()
    env.table.values[b"\0births"] = b"\x80"
    with pytest.raises(UnknownFormat, match="RAPPORT_GENERATION"):
        env.fold(env.record(env.raw()))
    with pytest.raises(UnknownFormat, match="RAPPORT_GENERATION"):
        env.purge(ANN)
    assert env.table.values.keys() == {b"\0births"}


def test_withdrawal_between_read_and_write_leaves_nothing() -> None:
    env = interleaved(lambda env: env.permit(allowed=False))
    env.fold(env.record(env.raw()))
    assert decode(env.table.values[ANN.encode()]).views == {}
    assert env.read().views["spend"].status is Status.WITHHELD
    env.permit(grant_id=2)
    assert env.read().features["spend_count_lifetime"] == 0


def test_new_grant_between_read_and_write_is_folded_under_again() -> None:
    env = interleaved(lambda env: env.permit(grant_id=2))
    env.fold(env.record(env.raw()), env.record(env.raw()))
    assert env.count() == 2
    assert decode(env.table.values[ANN.encode()]).views["spend"][0].grant_ids == {"service": 2}


def test_expired_permission_is_not_folded_under(env: ProcessingEnvironment) -> None:
    env.permit(until_ms=NOW_MS + 10)
    env.fold(env.record(env.raw()))
    env.now_ms += 10
    assert env.read().views["spend"].reason == "expired"
    env.fold(env.record(env.raw()))
    env.permit(until_ms=NOW_MS + 10**9)  # renewed in time, published only now
    assert env.count() == 1
    env.permit(allowed=False)
    env.purge(ANN)
    assert decode(env.table.values[ANN.encode()]).views == {}


def test_purge_deletes_the_values_and_keeps_the_offset(env: ProcessingEnvironment) -> None:
    batch = env.fold(env.record(env.raw()), env.record(env.raw()))
    env.permit(allowed=False)
    env.purge(ANN, BOB)
    assert decode(env.table.values[ANN.encode()]).views == {}
    assert decode(env.table.values[ANN.encode()]).deduplication_window == b""
    env.permit(grant_id=2)
    asyncio.run(env.micro_batches.handle([batch]))  # a replay from before the purge
    assert env.read().features["spend_count_lifetime"] == 0


def test_late_purge_leaves_the_values_of_a_new_grant(env: ProcessingEnvironment) -> None:
    env.permit(allowed=False)
    env.permit(grant_id=2)
    env.fold(env.record(env.raw()))
    env.purge(ANN)
    assert env.count() == 1


def test_republication_writes_every_value_to_an_emptied_store(env: ProcessingEnvironment) -> None:
    env.permit(BOB)
    env.fold(env.record(env.raw(ANN)), env.record(env.raw(BOB), BOB))
    env.empty()
    env.permit(ANN)  # Bob's permission is missing, so his values are not written
    assert env.published() is Status.PRESENT
    assert env.count(ANN) == 1
    assert env.read(BOB).views["spend"].status is Status.WITHHELD


def test_republication_takes_several_pages_and_stops_at_a_revocation(env: ProcessingEnvironment) -> None:
    subjects = [f"00000000{number:024x}" for number in range(1_200)]
    for subject in subjects:
        env.permit(subject)
    env.fold(*(env.record(env.raw(subject), subject) for subject in subjects))
    env.empty()
    for subject in subjects:
        env.permit(subject)
    assert env.published(subjects[0], env.queues.applied.clear) is Status.STALE
    env.queues.applied[TP(TOPIC, 0)] = env.offset
    assert env.published(subjects[0]) is Status.PRESENT
    assert {env.count(subject) for subject in subjects} == {1}


def test_worker_waits_for_an_unavailable_store_and_reports_why(env: ProcessingEnvironment) -> None:
    async def scenario() -> str | None:
        env.store.available = False
        handling = asyncio.create_task(env.micro_batches.handle([env.batch(env.record(env.raw()))]))
        while env.retrying.waiting_for is None:
            await asyncio.sleep(0)
        reason = env.retrying.waiting_for
        env.store.available = True
        await handling
        assert env.retrying.waiting_for is None
        return reason

    assert asyncio.run(scenario()) == "store is unavailable"
    assert decode(env.table.values[ANN.encode()]).offset == 0


def test_view_added_later_counts_from_five_minutes_after_that(env: ProcessingEnvironment) -> None:
    env.offset, start_ms = 7, NOW_MS + 300_001
    env.fold(env.record(env.raw(at_ms=NOW_MS)))
    env.now_ms = start_ms
    later = [env.record(env.raw(at_ms=at_ms))._replace(timestamp_ms=at_ms) for at_ms in (start_ms - 1, start_ms)]
    env.fold(*later)
    assert env.count() == 1
    assert env.read().views["spend"].start == "2023-11-14T22:18:20.001Z"


def test_purge_before_the_first_event_of_a_new_view_is_carried_out(env: ProcessingEnvironment) -> None:
    env.fold(env.record(env.raw()))
    env.table.values[coverage.KEY] = coverage.encode({1: 0})  # of an earlier definition of the view
    env.purge(ANN)
    assert decode(env.table.values[ANN.encode()]).views == {}


def test_new_view_never_covers_events_applied_before_it(env: ProcessingEnvironment) -> None:
    batch = env.fold(env.record(env.raw()))
    env.table.values[coverage.KEY] = coverage.encode({1: 0})
    asyncio.run(env.micro_batches.handle([batch]))  # a replay from the beginning, after a deploy
    assert coverage.decode(env.table.values[coverage.KEY]) == {spend.fingerprint: NOW_MS + 300_001}


def test_answer_of_a_new_generation_starts_with_it_and_has_no_value_of_the_one_before(
    env: ProcessingEnvironment,
) -> None:
    env.permit(BOB)
    env.fold(*(env.record(env.raw(subject), subject) for subject in (ANN, BOB)))
    env.start_generation(2, first_ms=NOW_MS - 5_000)
    env.fold(env.record(env.raw(at_ms=NOW_MS - 5_001)), env.record(env.raw(at_ms=NOW_MS - 5_000)))
    assert env.count(ANN) == 1
    answer = env.read(BOB).views["spend"]
    assert (answer.status, answer.start) == (Status.MISSING, "2023-11-14T22:13:15.000Z")


def test_store_emptied_during_a_republication_stays_stale(env: ProcessingEnvironment) -> None:
    def emptied() -> None:
        env.empty()
        env.permit()

    env.fold(env.record(env.raw()))
    env.empty()
    env.permit()
    assert env.published(meanwhile=emptied) is Status.STALE
    assert env.published() is Status.PRESENT
    assert env.count() == 1


def test_republication_writes_only_to_the_node_with_a_new_incarnation(redis_cluster: str) -> None:
    store = ClusterStore(redis_cluster, 2_000)
    for node in store.nodes():
        node._execute([("FLUSHALL",)])
    env, (new, old, _) = ProcessingEnvironment(store), store.nodes()
    names = [f"{n:032x}" for n in range(100)]  # all of partition 0
    lost, unharmed = (next(name for name in names if node.owns(name)) for node in (new, old))
    for name in (lost, unharmed):
        env.permit(name)
        env.fold(env.record(env.raw(name), name))
    new._execute([("FLUSHALL",)])
    fill(new)
    env.permit(lost)
    assert env.read(lost).views["spend"].status is Status.STALE
    assert env.count(unharmed) == 1, "the other node's watermark is still valid"
    written, write = list[str](), store.write
    env.retrying.online.write = lambda writes, now_ms: (
        written.extend(w.subject for w in writes),
        write(writes, now_ms),
    )[1]
    assert env.published(lost) is Status.PRESENT
    assert written == [lost]
    assert env.count(lost) == env.count(unharmed) == 1


INVALID: list[tuple[Callable[[ProcessingEnvironment], bytes | None], str]] = [
    (lambda env: env.raw().replace(b'"5"', b'"much"'), "Invalid decimal string - at `$.data.amount`"),
    (lambda env: env.raw().replace(b'"kind"', b'"x":1,"kind"'), "Object contains an unknown field; known are kind, "),
    (lambda env: env.raw(at_ms=NOW_MS + 301_000), "time is 301 s ahead of Kafka's, at most 300 s are taken"),
    (lambda env: env.raw() + b" " * 2_000_000, "event has 2000"),
    (lambda env: env.raw(BOB), "record's key or partition is not its subject's"),
    (lambda env: b"\xff\xfe", "JSON is malformed"),
    (lambda env: env.raw().replace(b'"id":"e', b'"id":" e'), "id must not begin with white space or an invisible"),
    (lambda env: env.raw().replace(b'"shop"', '"shop\u200b"'.encode()), "source must not end with white space"),
    (lambda env: b"", "Input data was truncated"),
    (lambda env: None, "record has no value"),
]


@pytest.mark.parametrize(("change", "reason"), INVALID)
def test_invalid_event_becomes_a_dead_letter_and_others_count(
    env: ProcessingEnvironment, change: Callable[[ProcessingEnvironment], bytes | None], reason: str
) -> None:
    env.fold(env.record(env.raw()), env.record(change(env)), env.record(env.raw()))
    (rejection,) = env.dead_letters.rejections
    assert rejection.record.offset == 1
    assert rejection.detail.startswith(reason)
    assert env.count() == 2


def test_view_with_too_many_values_is_cut_and_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spend, "bounds", spend.bounds._replace(level_bytes=2_000))  # three texts of 535 bytes
    env = ProcessingEnvironment()
    env.permit()
    cut = OUTCOMES["cut"].labels("purchases")._value.get()
    for number in range(32):
        at_ms = NOW_MS - 30_000 + number * 1_000
        env.fold(env.record(env.raw(at_ms=at_ms, item=f"item {number}")))
        answer = env.read()
        assert answer.features["spend_count_lifetime"] == number + 1
        view = answer.views["spend"]
        assert view.status is Status.PRESENT
        if number < 3:
            assert (view.start, view.reason) == ("1970-01-01T00:00:00.000Z", None)
        else:
            assert view.start == rfc3339(at_ms - 2_000), "three seconds have tiles of their own"
            assert view.reason == "more values than a view keeps: earlier events are not in every window"
    assert OUTCOMES["cut"].labels("purchases")._value.get() - cut == 29
    assert env.read().features["spend_item_first_lifetime"] == "item 0"


def test_event_too_late_for_a_check_is_told_in_the_answer(env: ProcessingEnvironment) -> None:
    env.fold(env.record(env.raw()))
    assert env.read().views["spend"].unchecked_until is msgspec.UNSET
    late_ms = NOW_MS - 8 * 86_400_000
    env.fold(env.record(env.raw(at_ms=late_ms)), env.record(env.raw(at_ms=late_ms - 60_000)))
    assert env.read().views["spend"].unchecked_until == rfc3339(late_ms + 1_000)
    assert b"unchecked_until" in msgspec.json.encode(env.read())
