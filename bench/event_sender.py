"""Sender of events, in a process of its own: as fast as it can, or at a steady rate."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from confluent_kafka import Producer

from bench.servers import Record

CONTEXT = get_context("spawn")  # forked, it would share sockets and threads with the bench
CONNECT_TIMEOUT_S = 20


def stamps(count: int) -> Any:
    """An array of monotonic times that another process writes; 0 until then."""
    return CONTEXT.Array("d", count, lock=False)


@contextmanager
def sending(kafka: str, topic: str, records: Sequence[Record], sent: Any, rate: float = 0) -> Iterator[None]:
    """Send until the block ends; ``sent`` takes the time of each record's hand-over. ``rate`` 0: as fast as it can."""
    process = CONTEXT.Process(target=send, args=(kafka, topic, records, sent, rate), daemon=True)
    process.start()
    try:
        yield
        process.join()
        assert process.exitcode == 0, "the load could not be sent"
    finally:
        process.terminate()


def send(kafka: str, topic: str, records: Sequence[Record], sent: Any, rate: float) -> None:
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0 if rate else 5, "acks": 1})
    producer.list_topics(topic, timeout=CONNECT_TIMEOUT_S)
    began = time.monotonic()
    for i, (subject, partition, value) in enumerate(records):
        while rate and (early_s := began + i / rate - time.monotonic()) > 0:
            time.sleep(min(early_s, 0.001))
        sent[i] = time.monotonic()
        while True:
            try:
                producer.produce(topic, value, key=subject.encode(), partition=partition)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    producer.flush()
