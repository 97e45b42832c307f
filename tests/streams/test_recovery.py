"""Recovery: the changelog is read back in order, without a hole, and progress is reported."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from featurestore import names
from featurestore.config import Settings
from streams import recovery as module
from streams.app import Pipeline, create_app
from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.metrics import RECOVERY_REMAINING
from streams.recovery import REPORT_S, SILENCE_S, Recovery, RecoveryProgress

pytestmark = pytest.mark.anyio

ORDERS, CHAT = names.changelog("orders", 1), names.changelog("chat", 1)


def batch(
    topic: str, partition: int, *changes: tuple[int, bytes, bytes | None], start: int | None = None
) -> FetchBatch:
    records = [KafkaRecord(offset, 0, key, value) for offset, key, value in changes]
    return FetchBatch(topic, partition, records[0].offset if start is None else start, records)


class RecoveringWorker:
    """A worker's recovery of two tables, with partition 0 assigned, and the positions that it seeks back to."""

    def __init__(self, folder: Path, kind: str) -> None:
        conf = Settings(stream_tables=kind, stream_data_dir=folder)  # type: ignore[arg-type]
        app: Any = create_app(conf, ["orders", "chat"], lambda app: Pipeline(["t"], ignore), lambda topics: {})
        app._create_directories()
        self.sought: list[dict[TP, int]] = []
        app.consumer = SimpleNamespace(rewind=self.rewind)
        self.recovery: Recovery = app.tables.recovery
        for source in ("orders", "chat"):
            table = app.state_tables[source]
            self.recovery.add_active(table, TP(table.changelog_topic_name, 0))
            self.recovery.active_offsets[TP(table.changelog_topic_name, 0)] = -1
        self.tables = {source: app.state_tables[source] for source in ("orders", "chat")}

    async def rewind(self, positions: dict[TP, int]) -> None:
        self.sought.append(positions)

    def items(self, source: str, partition: int = 0) -> dict[bytes, bytes]:
        table = self.tables[source]
        return table.contents.read_many(partition, table.contents.keys_after(partition, b"", 1_000))


async def ignore(_batches: Sequence[FetchBatch]) -> None:
    """Handle nothing: no event comes."""


@pytest.fixture(params=["memory", "rocksdb"])
async def worker(request: pytest.FixtureRequest, tmp_path: Path) -> RecoveringWorker:
    return RecoveringWorker(tmp_path, request.param)


async def test_records_are_applied_in_order(worker: RecoveringWorker) -> None:
    await worker.recovery.apply(batch(ORDERS, 0, (0, b"a", b"1"), (1, b"b", b"2"), (2, b"a", b"3")))
    await worker.recovery.apply(batch(ORDERS, 0, (3, b"b", None)))
    await worker.recovery.apply(batch(CHAT, 0, (0, b"a", b"9")))
    assert worker.items("orders") == {b"a": b"3"}
    assert worker.items("chat") == {b"a": b"9"}
    assert worker.recovery.active_offsets[TP(ORDERS, 0)] == 3


async def test_offsets_removed_by_compaction_are_no_hole(worker: RecoveringWorker) -> None:
    await worker.recovery.apply(batch(ORDERS, 0, (7, b"a", b"1"), start=0))
    await worker.recovery.apply(batch(ORDERS, 0, (40, b"b", b"2"), start=8))
    assert worker.items("orders") == {b"a": b"1", b"b": b"2"}
    assert not worker.sought


async def test_lost_batch_is_read_again(worker: RecoveringWorker) -> None:
    await worker.recovery.apply(batch(ORDERS, 0, (0, b"a", b"1")))
    await worker.recovery.apply(batch(ORDERS, 0, (3, b"b", b"4")))
    assert worker.sought == [{TP(ORDERS, 0): 1}]
    assert worker.items("orders") == {b"a": b"1"}
    await worker.recovery.apply(batch(ORDERS, 0, (1, b"b", b"2"), (2, b"a", None), (3, b"b", b"4")))
    assert worker.items("orders") == {b"b": b"4"}


async def test_lost_end_of_a_changelog_is_read_again(worker: RecoveringWorker) -> None:
    worker.recovery.active_highwaters.update({TP(ORDERS, 0): 1, TP(CHAT, 0): 0})
    await worker.recovery.apply(batch(CHAT, 0, (0, b"a", b"1")))
    await worker.recovery.read_again()
    assert not worker.sought, "nothing is being recovered"
    worker.recovery._set_recovery_started()
    await worker.recovery.read_again()
    assert worker.sought == [{TP(ORDERS, 0): 0}]
    await worker.recovery.apply(batch(ORDERS, 0, (0, b"a", b"1"), (1, b"b", b"2")))
    await worker.recovery.read_again()
    assert len(worker.sought) == 1, "all is there"


async def test_silent_changelog_is_read_again_at_growing_intervals(
    worker: RecoveringWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls: list[float] = []
    sought_at: list[float] = []

    async def silent(waited: Any, timeout_s: float) -> None:
        waited.close()
        polls.append(timeout_s)
        if sum(polls) >= 9 * SILENCE_S:
            worker.recovery._stopped.set()
        raise TimeoutError

    async def read_again() -> None:
        sought_at.append(sum(polls))

    monkeypatch.setattr(module.asyncio, "wait_for", silent)
    monkeypatch.setattr(worker.recovery, "read_again", read_again)
    await worker.recovery._slurp_changelogs(worker.recovery)
    assert sought_at == [SILENCE_S, 3 * SILENCE_S, 7 * SILENCE_S]


async def test_repeated_records_are_not_applied_again(worker: RecoveringWorker) -> None:
    await worker.recovery.apply(batch(ORDERS, 0, (0, b"a", b"1"), (1, b"a", b"2")))
    await worker.recovery.apply(batch(ORDERS, 0, (0, b"a", b"1")))
    assert worker.items("orders") == {b"a": b"2"}


async def test_batch_of_a_revoked_partition_changes_no_table(worker: RecoveringWorker) -> None:
    await worker.recovery.apply(batch(CHAT, 0, (0, b"a", b"1")))
    await worker.recovery.apply(batch(ORDERS, 1, (0, b"a", b"2")))
    assert worker.items("chat") == {b"a": b"1"}
    assert TP(ORDERS, 1) not in worker.recovery.active_offsets


async def test_recovery_is_not_ended_by_the_one_before(worker: RecoveringWorker) -> None:
    worker.recovery.signal_recovery_end.set()
    worker.recovery._set_recovery_started()
    assert not worker.recovery.signal_recovery_end.is_set()


def test_progress_is_logged_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    with capture_logs() as logs:
        monkeypatch.setattr(module, "log", module.structlog.get_logger())
        progress = RecoveryProgress(lambda: now_s[0])
        progress.start()
        progress.add(1_000)
        progress.report(9_000)
        assert not logs
        now_s[0] += REPORT_S
        progress.report(9_000)
        progress.report(8_999)
        now_s[0] += 1
        progress.add(9_000)
        assert RECOVERY_REMAINING._value.get() == 8_999
        progress.end()
        progress.end()
    reported, ended = logs
    assert {**reported, "log_level": ""} == {
        "event": "recovering tables", "read": 1_000, "remaining": 9_000, "per_s": 200, "seconds_left": 45,
        "log_level": "",
    }  # fmt: skip
    assert (ended["event"], ended["records"], ended["seconds"]) == ("changelog read", 10_000, 6.0)
    assert RECOVERY_REMAINING._value.get() == 0
