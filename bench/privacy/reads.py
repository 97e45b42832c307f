"""Latency of reads while a hundred erasures run, beside none: slices in turns, at 2,000 events a second throughout."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import psycopg
from confluent_kafka import Producer

from bench.distribution import quantile
from bench.event_sender import CONTEXT
from bench.privacy.canaries import Person
from bench.privacy.passage import FACTS, Passage
from featurestore import names
from featurestore.catalog.orders import OrderLine, orders
from featurestore.identity import partition_of

EVENTS_PER_S, READS_PER_S, READERS = 2_000, 50, 8
ERASURES, PAIRS, SLICE_S, WARM_S = 100, 3, 40, 10
STAYING = 200
LONGEST_S = 600
REFUSED_MS = 1000.0
"""Four times as long as the API waits for the store."""
ASK_S = 2
ERASING = "SELECT count(*) FROM erasure_erasure WHERE state = 'erasing'"
GRANT_S = 2


def figures_of(passage: Passage, pairs: int = PAIRS, erasures: int = ERASURES) -> dict[str, float]:
    """``served_p99_ratio``: p99 of all slices with erasures by that of all without. A slice with erasures begins when
    they are started, and ends when all are answered. A read that the API refuses counts as REFUSED_MS, and is counted.
    """
    groups = [[f"leaves-{pair}-{number}" for number in range(erasures)] for pair in range(pairs)]
    staying = [passage.person(f"stays-{number}", "order") for number in range(STAYING)]
    everyone = [*(person.identifier for person in staying), *itertools.chain(*groups)]
    passage.made.run("-c", FACTS, "register", *everyone)
    time.sleep(GRANT_S)
    quiet, busy = list[float](), list[float]()
    with events_sent(passage, [person.subject for person in staying]) as sent, Reader(passage, staying) as reader:
        reader.read(lambda: False, WARM_S)
        sent_before, measured_s = sent.value, time.monotonic()
        for number, group in enumerate(groups, start=1):
            quiet += (found := reader.read(lambda: False, SLICE_S))
            passage.say(f"pair {number}: {len(found):,} reads without erasures, p99 {quantile(found, 0.99):.1f} ms")
            began_s = time.monotonic()
            busy += (found := reader.read(Erasures(passage, group), LONGEST_S))
            took_s = time.monotonic() - began_s
            passage.say(
                f"pair {number}: {len(found):,} reads beside {erasures} erasures, answered in {took_s:.0f} s, "
                f"p99 {quantile(found, 0.99):.1f} ms"
            )
        events_per_s = (sent.value - sent_before) / (time.monotonic() - measured_s)
    p99_quiet, p99_busy = quantile(quiet, 0.99), quantile(busy, 0.99)
    return {
        "served_p99_ratio": p99_busy / p99_quiet,
        "served_p99_ms": p99_quiet,
        "served_p99_ms_erasing": p99_busy,
        "refused": quiet.count(REFUSED_MS),
        "refused_erasing": busy.count(REFUSED_MS),
        "events_per_s": events_per_s,
    }


class Erasures:
    """Erasures that are started when it is made. Called, it tells whether all are answered."""

    def __init__(self, passage: Passage, customers: Sequence[str]) -> None:
        self._url = passage.database_url
        self._starting = passage.made.start("erasures", "-c", FACTS, "erase", *customers)

    def __call__(self) -> bool:
        if self._starting.poll() is None:
            return False
        assert self._starting.returncode == 0, "the erasures were not started: see erasures.log"
        with psycopg.connect(self._url) as database:
            return database.execute(ERASING).fetchall()[0][0] == 0


class Reader:
    """Reads of customers at a steady rate by the API. A latency counts from when the read was due."""

    def __init__(self, passage: Passage, people: Sequence[Person]) -> None:
        self._api, self._people = passage.api, itertools.cycle(people)
        self._pool = ThreadPoolExecutor(READERS)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def read(self, ended: Callable[[], bool], seconds: float) -> list[float]:
        """Milliseconds of each read until ``ended``, or for so many seconds."""
        began_s, reading = time.monotonic(), []
        with asked(ended) as over:
            for number in itertools.count():
                due_s = began_s + number / READS_PER_S
                if (early_s := due_s - time.monotonic()) > 0:
                    time.sleep(early_s)
                if due_s - began_s >= seconds or over.is_set():
                    break
                reading.append(self._pool.submit(self._read, next(self._people), due_s))
        return [one.result() for one in reading]

    def _read(self, person: Person, due_s: float) -> float:
        question = {"service": "support_chat", "purpose": "service", "customer_id": person.identifier}
        answer: httpx.Response = self._api.post("/v1/features", json=question)
        if answer.status_code == 503:
            return REFUSED_MS
        assert answer.status_code == 200, answer.text
        return (time.monotonic() - due_s) * 1000


@contextmanager
def asked(ended: Callable[[], bool]) -> Iterator[threading.Event]:
    """Event that is set once ``ended``, which is asked in a thread of its own: no read waits for it."""
    over, left = threading.Event(), threading.Event()

    def ask() -> None:
        try:
            while not left.wait(ASK_S) and not ended():
                pass
        finally:
            over.set()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield over
        finally:
            left.set()
        asking.result()


@contextmanager
def events_sent(passage: Passage, subjects: Sequence[str]) -> Iterator[Any]:
    """Events of these subjects in turns, at a steady rate, from a process of its own, until the block ends; their
    number so far, as ``value``.
    """
    over, sent = CONTEXT.Event(), CONTEXT.Value("q", 0)
    settings = passage.made.settings
    topic, partitions = names.events("orders", int(str(settings["generation"]))), int(str(settings["partitions"]))
    arguments = (passage.made.kafka_options(), topic, partitions, list(subjects), over, sent)
    process = CONTEXT.Process(target=send, args=arguments, daemon=True)
    process.start()
    try:
        yield sent
        assert process.exitcode is None, "the events were not sent to the end"
    finally:
        over.set()
        process.join(30)
        process.terminate()


def send(options: dict[str, Any], topic: str, partitions: int, subjects: Sequence[str], over: Any, sent: Any) -> None:
    producer = Producer({**options, "linger.ms": 0, "log_level": 0})
    line = OrderLine(kind="completed", order_id="order", sku="LAMP", quantity=1, amount=Decimal("0.01"))
    began_s = time.monotonic()
    for number in itertools.count():
        if over.is_set():
            break
        while (early_s := began_s + number / EVENTS_PER_S - time.monotonic()) > 0:
            time.sleep(min(early_s, 0.001))
        subject = subjects[number % len(subjects)]
        raw = orders.encode(id=f"steady-{number}", source="shop", subject=subject, time=datetime.now(UTC), data=line)
        producer.produce(topic, raw, subject.encode(), partition_of(subject, partitions))
        sent.value = number + 1
        producer.poll(0)
    producer.flush(30)
