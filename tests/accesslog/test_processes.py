"""Killed processes: the API, the consumer, the control Redis. They lose little, and it is known."""

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from devservers.installation import Installation, installation
from devservers.redis_server import RedisServer
from devservers.waiting import eventually
from featurestore.accesslog.batches import decode
from featurestore.accesslog.consumer import consume
from featurestore.accesslog.stream import KEY, RecordStream
from featurestore.accesslog.writer import AccessLogWriter
from tests.accesslog.harness import ANN, BEN, NOW_MS, gaps, read, stored, usage

BODY = {"service": "support_chat", "purpose": "service"}


@pytest.fixture
def shop(redis_server: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation without Kafka. Its store is not vouched for: reads are withheld, and recorded."""
    with Redis.from_url(redis_server) as redis:
        redis.flushall()
    with installation(tmp_path, kafka="127.0.0.1:1", store=redis_server) as made:
        made.prepare_database()
        yield made


def start_consumer(shop: Installation) -> None:
    celery = ["-m", "celery", "--app", "adminsite", "worker", "--beat", "--loglevel", "WARNING", "--concurrency", "1"]
    shop.start("consumer", *celery, "--schedule", str(shop.folder / "beat"))


def rows(shop: Installation, sql: str) -> list[Any]:
    with sqlite3.connect(shop.folder / "rapport.sqlite3", timeout=20) as database:
        return database.execute(sql).fetchall()


def recorded(shop: Installation) -> Counter[str]:
    return Counter(request for (request,) in rows(shop, "SELECT request_id FROM accesslog_accessrecord"))


def states(shop: Installation) -> list[tuple[str, str | None, int | None]]:
    return rows(
        shop,
        "SELECT p.state, g.reason, g.missing FROM accesslog_writerprocess p "
        "LEFT JOIN accesslog_accessgap g ON g.process_id = p.id ORDER BY p.id",
    )


def ask(api: httpx.Client, name: str) -> None:
    answer = api.post("/v1/features", json=BODY | {"customer_id": "C1"}, headers={"X-Request-Id": name})
    assert answer.status_code == 200, answer.text


def test_killed_api_process_loses_its_last_records_and_leaves_a_gap(shop: Installation) -> None:
    start_consumer(shop)
    with closing(shop.start_api()) as api:
        asked = [f"request-{n:04}" for n in range(400)]
        for name in asked:
            ask(api, name)
        os.killpg(shop.processes["api"].pid, signal.SIGKILL)
    eventually(
        lambda: states(shop) == [("vanished", "vanished", None)], "the process is marked as vanished", every_s=0.2
    )
    found = recorded(shop)
    assert set(found.values()) == {1}
    assert sorted(found) == asked[: len(found)], "the last ones alone are lost"
    (gap,) = rows(shop, "SELECT first FROM accesslog_accessgap")
    assert gap == (len(found),)


def test_api_process_that_shuts_down_loses_nothing(shop: Installation) -> None:
    start_consumer(shop)
    with closing(shop.start_api()) as api:
        names = [f"request-{n:04}" for n in range(200)]
        for name in names:
            ask(api, name)
        shop.processes["api"].send_signal(signal.SIGTERM)
    eventually(lambda: states(shop) == [("ended", None, None)], "the shutdown record is written", every_s=0.2)
    assert recorded(shop) == dict.fromkeys(names, 1)
    assert rows(shop, "SELECT client, route, status, requests FROM access_clientusage") == [
        ("tests", "features", 200, len(names))
    ]


def test_read_by_command_is_sent_before_the_command_ends(shop: Installation, redis_server: str) -> None:
    shop.manage("features", "read", "support_chat", "C1", "--purpose", "service")
    stream = RecordStream(redis_server.replace("/0", "/1"), 5)
    batches = [decode(entry.raw) for entry in stream.oldest(10)]
    stream.close()
    assert sum(len(batch.reads) for batch in batches) == 1
    assert batches[-1].shutdown


def test_repeatedly_killed_consumer_writes_everything_once(shop: Installation, redis_server: str) -> None:
    stream = RecordStream(redis_server.replace("/0", "/1"), 5)
    writers = [AccessLogWriter(stream, 10**9, lambda: NOW_MS) for _ in range(4)]
    for writer in writers:
        writer.start = lambda: None  # type: ignore[method-assign]
    for n in range(500):
        for name, writer in enumerate(writers):
            for m in range(20):
                read(writer, f"request-{name}-{n}-{m}")
            writer.add_request("bot", "features", 200)
            writer.flush()
    for writer in writers:
        writer.final_flush()
    for kill_at in (1, 8_000, 20_000):
        start_consumer(shop)
        eventually(lambda at=kill_at: len(recorded(shop)) >= at, "it writes", every_s=0.01)
        os.killpg(shop.processes["consumer"].pid, signal.SIGKILL)
        shop.processes["consumer"].wait()
    start_consumer(shop)
    with Redis.from_url(redis_server.replace("/0", "/1")) as control:
        eventually(lambda: control.xlen(KEY) == 0, "the stream is read", every_s=0.2)
    found = recorded(shop)
    assert (len(found), set(found.values())) == (40_000, {1})
    assert rows(shop, "SELECT requests FROM access_clientusage") == [(2000,)]
    assert states(shop) == [("ended", None, None)] * 4
    stream.close()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_killed_control_redis_loses_only_what_the_gaps_count(database: str, tmp_path: Path) -> None:
    server = RedisServer(tmp_path, durable=True)
    server.start()
    stream = RecordStream(server.url, 0.5)
    writer = AccessLogWriter(stream, 10**9, lambda: time.time_ns() // 1_000_000)
    try:
        made = 0
        for _ in range(4):
            for _ in range(200):
                read(writer, f"request-{made}", [ANN, BEN])
                writer.add_request("bot", "features", 200)
                made += 1
                time.sleep(0.001)
            server.kill()
            read(writer, f"request-{made}", [ANN, BEN])
            made += 1
            server.start()
            eventually(all_sent(writer), "pending batches are sent")
            consume(stream)
        writer.stop()
        while consume(stream):
            pass
    finally:
        writer.stop()
        stream.close()
        server.stop()
    assert set(stored().values()) == {1}
    assert {reason for reason, _, _ in gaps()} <= {"lost"}
    assert stored().total() + sum(missing or 0 for _, _, missing in gaps()) == 2 * made
    assert usage()["bot", "features", 200] <= 800


def all_sent(writer: AccessLogWriter) -> Callable[[], bool]:
    return lambda: not writer._pending and not writer._reads and not writer._stream_unavailable


def test_paused_control_redis_delays_and_doubles_nothing(redis_server: str, database: str, control: Any) -> None:
    writer = AccessLogWriter(RecordStream(redis_server, 0.2), 10**9, lambda: NOW_MS)
    read(writer, "before")
    eventually(lambda: control.redis.xlen(KEY) >= 2, "the first batch is sent")
    control.redis.execute_command("CLIENT", "PAUSE", "700", "WRITE")
    for n in range(300):
        read(writer, f"during-{n}")
        time.sleep(0.001)
    eventually(all_sent(writer), "pending batches are sent")
    writer.stop()
    entries = control.redis.xlen(KEY)
    control.consume()
    assert stored() == {(ANN, "before"): 1} | {(ANN, f"during-{n}"): 1 for n in range(300)}
    assert (gaps(), entries > 5) == ([], True)
