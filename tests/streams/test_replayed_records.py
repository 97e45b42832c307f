"""Records written again: consent is judged by the time at which Kafka first recorded them."""

import pytest

from featurestore.first_timestamp import HEADER
from featurestore.serving.answer import Status
from streams.dead_letters import DeadLetterWriter, Rejection
from streams.fetch_batches import FetchBatch, KafkaRecord
from tests.streams.environment import ANN, NOW_MS, TOPIC, ProcessingEnvironment

AHEAD_MS = NOW_MS + 3_600_000  # of a sender whose clock is an hour ahead
LATER_MS = NOW_MS + 3_700_000  # when the event's time has come


@pytest.fixture
def env() -> ProcessingEnvironment:
    made = ProcessingEnvironment()
    made.permit()
    return made


def replayed(env: ProcessingEnvironment, raw: bytes, *headers: tuple[str, bytes]) -> KafkaRecord:
    env.now_ms = LATER_MS
    return env.record(raw, headers=headers)._replace(timestamp_ms=LATER_MS)


def first(time_ms: int) -> tuple[str, bytes]:
    return HEADER, b"%d" % time_ms


def test_event_recorded_before_a_withdrawal_does_not_count_under_the_next_grant(env: ProcessingEnvironment) -> None:
    raw = env.raw(at_ms=AHEAD_MS)
    env.fold(env.record(raw))
    (rejection,) = env.dead_letters.rejections
    assert rejection.reason == "future"
    env.permit(allowed=False)
    env.purge(ANN)
    env.permit(grant_id=2, since_ms=NOW_MS + 601_000)
    env.fold(replayed(env, raw, first(rejection.record.timestamp_ms)))
    assert env.read().views["spend"].status is Status.MISSING
    assert len(env.dead_letters.rejections) == 1


def test_future_event_counts_when_its_replay_comes_after_its_time(env: ProcessingEnvironment) -> None:
    env.fold(replayed(env, env.raw(at_ms=AHEAD_MS), first(NOW_MS)))
    assert not env.dead_letters.rejections
    assert env.read().features["spend_count_1h"] == 1


@pytest.mark.parametrize(
    ("headers", "counts"),
    [
        ([first(LATER_MS + 10**9)], 1),
        ([first(0)], 0),
        ([first(LATER_MS), first(5)], 0),
        ([("replay_of", b"events.orders.g1/0/1")], 1),
    ],
    ids=["later than Kafka's", "1970", "two of them", "another header"],
)
def test_header_never_allows_what_kafkas_timestamp_does_not(
    env: ProcessingEnvironment, headers: list[tuple[str, bytes]], counts: int
) -> None:
    env.permit(grant_id=2, since_ms=NOW_MS)
    env.fold(replayed(env, env.raw(at_ms=AHEAD_MS), *headers))
    assert env.read().views["spend"].status is (Status.PRESENT if counts else Status.MISSING)
    env.permit(grant_id=3, since_ms=LATER_MS + 1)
    env.fold(replayed(env, env.raw(at_ms=LATER_MS + 1), *headers))
    assert env.read().views["spend"].status is Status.MISSING


@pytest.mark.parametrize("value", [b"", b"soon", b"-1", b"1e12", b"9" * 16, b" 1", None])
def test_malformed_header_is_quarantined(env: ProcessingEnvironment, value: bytes) -> None:
    env.fold(replayed(env, env.raw(at_ms=AHEAD_MS), (HEADER, value)), env.record(env.raw()))
    (rejection,) = env.dead_letters.rejections
    assert (rejection.reason, rejection.detail) == ("invalid", f"header {HEADER} is not a time in milliseconds")
    assert env.read().features["spend_count_lifetime"] == 1


class Changelog:
    """The producer of a dead letter; ``headers`` of the last one."""

    def __init__(self) -> None:
        self.producer, self.headers = self, dict[str, bytes]()

    async def send(self, topic: str, value: bytes, *, headers: list[tuple[str, bytes]], **options: object) -> object:
        self.headers = dict(headers)

        async def acknowledged() -> None:
            """Done at once."""

        return acknowledged()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "expected"), [((), LATER_MS), ((first(NOW_MS),), NOW_MS), (((HEADER, b"soon"),), LATER_MS)]
)
async def test_quarantined_record_keeps_its_first_timestamp(
    headers: tuple[tuple[str, bytes], ...], expected: int
) -> None:
    record = KafkaRecord(7, LATER_MS, ANN.encode(), b"x", headers)
    changelog = Changelog()
    writer = DeadLetterWriter("dead-letters.g1", changelog)  # type: ignore[arg-type]
    await writer.put(FetchBatch(TOPIC, 0, 7, [record]), [Rejection(record, "invalid", "why")])
    assert changelog.headers[HEADER] == b"%d" % expected
    assert changelog.headers["timestamp_ms"] == b"%d" % LATER_MS
