"""Command of the store verifier's process. Of several one vouches, by a lease; a restart is harmless."""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, connections

from featurestore import names
from featurestore.config import settings
from featurestore.consent.journal import clock_comparison, comparison
from featurestore.consent.journal.clock_comparison import ClockComparer, KafkaClocks
from featurestore.consent.journal.comparison import JournalComparer
from featurestore.consent.journal.topic import configured_journal
from featurestore.consent.passed_by import restarts
from featurestore.consent.passed_by.restarts import PassedByRestarts
from featurestore.consent.passed_by.topic import configured_topic
from featurestore.consent.vouching.store_verifier import StoreVerifier
from featurestore.health_server import serve_health
from featurestore.servers.kafka import kafka_cluster
from featurestore.store.configured import store


class Command(BaseCommand):
    help = "Verify the store and vouch for it until stopped. Without it every read is denied."

    def handle(self, *args: Any, **options: Any) -> None:
        self.check(databases=[DEFAULT_DB_ALIAS])  # refuses a database of an earlier version
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        comparer = JournalComparer(configured_journal())
        conf = settings()
        serve_health(conf.health_port)
        brokers = KafkaClocks(kafka_cluster(conf), names.clock(conf.generation)) if conf.journal_topic else None
        clocks = ClockComparer(brokers, conf.partitions)
        passed_by = PassedByRestarts(configured_topic())
        with ThreadPoolExecutor(3, thread_name_prefix="beside") as threads:
            beside = [
                threads.submit(repeat, stop, comparer.step, comparison.STEP_S),
                threads.submit(repeat, stop, clocks.step, clock_comparison.STEP_S),
                threads.submit(repeat, stop, passed_by.step, restarts.STEP_S),
            ]
            StoreVerifier(store(), conf.vouch_expiry_ms, stop, comparer, clocks.is_behind, passed_by).run()
        for thread in beside:
            thread.result()  # an error of its thread has ended this process


def repeat(stop: threading.Event, step: Callable[[], object], every_s: float) -> None:
    """Call ``step`` until ``stop`` is set. An error sets it: the process must end."""
    try:
        while not stop.is_set():
            step()
            stop.wait(every_s)
    finally:
        stop.set()
        connections.close_all()
