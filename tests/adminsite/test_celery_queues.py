"""Queues of Celery: long tasks have none that urgent ones wait in, and some process takes each."""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from redis import Redis

from adminsite import export_checks
from adminsite.celery import QUEUE, SCHEDULE, URGENT, URGENT_LIMITS_S, URGENT_QUEUE, app, check_export_folder
from adminsite.demo.processes import process_manager
from devservers.installation import Installation, installation
from devservers.waiting import eventually
from featurestore.config import ROOT, settings
from tests.kit.blocking_tasks import MAY_END, RUNNING, block

BOTH = {QUEUE, URGENT_QUEUE}
WORKER = ("-m", "celery", "--app", "adminsite", "worker", "--loglevel", "WARNING")


def queue_of(task: str) -> str:
    return str(app.amqp.router.route({}, task)["queue"].name)


IN_SLICES = {"erasure.walk", "exports.advance", "requests.send_messages"}
"""Tasks that are due within seconds and may work for longer: each continues what it did not finish."""


def test_what_is_due_within_seconds_is_urgent_and_nothing_else() -> None:
    app.loader.import_default_modules()
    soon = {task for task, entry in SCHEDULE.items() if entry["schedule"] <= 10} - IN_SLICES
    assert {task for task in app.tasks if queue_of(task) == URGENT_QUEUE} == URGENT == soon


@pytest.mark.parametrize(("queues", "refused"), [(None, True), ([QUEUE], True), ([URGENT_QUEUE], False)])
def test_celery_worker_needs_the_export_folder_if_it_takes_exports(
    queues: list[str] | None, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    conf = settings().model_copy(update={"export_dir": str(tmp_path / "file" / "exports")})
    monkeypatch.setattr(export_checks, "settings", lambda: conf)
    expected = pytest.raises(SystemExit, match=r"rapport\.E040: RAPPORT_EXPORT_DIR") if refused else nullcontext()
    with expected:
        check_export_folder(options={"queues": queues})


def test_no_urgent_task_may_run_for_long() -> None:
    for task in URGENT:
        limits = app.tasks[task].soft_time_limit, app.tasks[task].time_limit
        assert limits == tuple(URGENT_LIMITS_S.values())


def test_every_scheduled_task_exists() -> None:
    app.loader.import_default_modules()
    assert set(SCHEDULE) <= set(app.tasks)


def queues_of(commands: Iterable[str]) -> list[str]:
    """What the Celery workers among commands of processes take, one after the other."""
    return re.findall(r" worker .*?--queues (\S+)", "\n".join(commands))


@pytest.mark.parametrize("path", ["Procfile", "adminsite/starter/files/Procfile-tpl"])
def test_a_procfile_has_a_worker_of_each_queue(path: str) -> None:
    commands = re.findall(r"^[\w-]+: (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(queues_of(commands)) == sorted(BOTH)
    hosts = re.findall(r"--hostname (\S+)", "\n".join(commands))
    assert len(set(hosts)) == 2, "two Celery workers of one name disturb each other"


def test_the_demo_has_a_worker_of_each_queue(tmp_path: Path) -> None:
    manager = process_manager({}, tmp_path, 8000, 8002, 1)
    assert sorted(queues_of(process["obj"].cmd for process in manager._processes.values())) == sorted(BOTH)


@pytest.fixture
def shop(redis_server: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation without Kafka, whose queues and store are empty."""
    with Redis.from_url(redis_server) as redis:
        redis.flushall()
    with installation(tmp_path, kafka="127.0.0.1:1", store=redis_server, journal_topic="") as made:
        made.prepare_database()
        yield made


@pytest.mark.timeout(300)
def test_blocked_long_tasks_do_not_delay_urgent_ones(shop: Installation) -> None:
    control = str(shop.settings["control_url"])
    long = ("--queues", QUEUE, "--hostname", "celery@%h", "--concurrency", "1", "--include", block.__module__)
    shop.start("celery", *WORKER, *long)
    urgent = ("--queues", URGENT_QUEUE, "--hostname", "urgent@%h", "--concurrency", "1", "--beat")
    shop.start("urgent", *WORKER, *urgent, "--schedule", str(shop.folder / "beat"))
    send = "from adminsite.celery import app; import tests.kit.blocking_tasks as t; [t.block.delay({!r}) for _ in 'ab']"
    shop.run("-c", send.format(control))
    with Redis.from_url(control) as redis:
        eventually(lambda: redis.get(RUNNING) == b"1", "the one process of long tasks is occupied")
        with closing(shop.start_api()) as api:
            body = {"service": "support_chat", "purpose": "service", "customer_id": "C1"}
            assert api.post("/v1/features", json=body).status_code == 200
        with closing(sqlite3.connect(shop.database, timeout=20)) as database:
            count = "SELECT count(*) FROM accesslog_accessrecord"
            eventually(lambda: database.execute(count).fetchone()[0] == 1, "its access record is written")
        assert redis.get(RUNNING) == b"1", "and the long task still runs"
        assert redis.llen(QUEUE) >= 1, "and another waits"
        redis.set(MAY_END, 1)
        eventually(lambda: redis.llen(QUEUE) == 0 and redis.get(RUNNING) == b"0", "all end", every_s=0.1)
