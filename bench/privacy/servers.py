"""Servers and processes of a passage: PostgreSQL, a store and a control Redis, and an installation of every process."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.privacy.disk import Disk
from bench.privacy.passage import COMPACTION_S, Passage
from devservers.installation import Installation, installation
from devservers.kafka.broker import Broker
from devservers.postgres_server import PostgresServer
from devservers.redis_server import RedisServer
from devservers.server import running
from devservers.waiting import eventually

WITHOUT_OLD_WAL = ("-c", "wal_recycle=off")
"""A WAL file that is needed no more is deleted, and not kept to be overwritten some day."""
CELERY, URGENT, STREAMS = "celery", "celery-urgent", "streams"
STATING_TIMES = (CELERY, STREAMS)
"""Processes that must start again when stated times change."""


@contextmanager
def running_passage(
    folder: Path, broker: Broker, *, all_topics: bool, say: Callable[[str], None] = lambda _: None, **settings: object
) -> Iterator[Passage]:
    """A passage whose servers and processes run until the block ends. ``all_topics``: nobody else uses the broker."""
    with ExitStack() as cleaning:
        postgres = PostgresServer(options=WITHOUT_OLD_WAL)
        cleaning.callback(shutil.rmtree, postgres.folder)
        store, control = RedisServer(folder / "store"), RedisServer(folder / "control", durable=True)
        for server in (postgres, store, control):
            cleaning.enter_context(running(server))
        own = folder / "installation"
        own.mkdir()
        made = cleaning.enter_context(
            installation(
                own,
                kafka=broker.bootstrap,
                store=store.url,
                control_url=control.url,
                database=postgres.url,
                stream_tables="rocksdb",
                stream_compaction_s=COMPACTION_S,
                export_dir=own / "exports",
                **settings,
            )
        )
        start(made)
        disk = Disk(made, postgres, store, control, broker.logs, topics_of(made, all_topics=all_topics))
        api = made.start_api()
        eventually(lambda: api.get("/readyz").status_code == 200, "the API is ready")
        yield Passage(disk, api, say)


def start(made: Installation) -> None:
    """Prepare database and topics; start every process but the API."""
    made.prepare()
    made.start_store_verifier()
    made.start_worker(STREAMS)
    worker = ("-m", "celery", "--app", "adminsite", "worker", "--concurrency", "1", "--queues")
    made.start(URGENT, *worker, "celery-urgent", "--hostname", "urgent@%h")
    made.start(CELERY, *worker, "celery", "--hostname", "celery@%h", "--beat", "--schedule", made.folder / "beat")


def topics_of(made: Installation, *, all_topics: bool) -> re.Pattern[str]:
    """The topics of an installation, by their generation; and Kafka's own."""
    named = "|".join(re.escape(str(made.settings[name])) for name in ("journal_topic", "passed_by_topic"))
    return re.compile(".*" if all_topics else rf".*\.g{made.settings['generation']}|{named}|__.*")
