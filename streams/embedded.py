"""Broker of the demo: librdkafka's in-process mock, with Kafka's protocol on a real port.

It stores nothing on disk, creates topics when they are asked for (4 partitions), keeps the last 5 MiB or 100,000
messages of a partition, and checks no timestamps: the lease is off there.
"""

import signal
import sys
import threading
from pathlib import Path

from confluent_kafka import Producer

START_TIMEOUT_S = 10


def serve(address_file: Path | None = None) -> None:
    """Run a broker until SIGTERM or SIGINT; print its address and write it atomically to a file."""
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = producer.list_topics(timeout=START_TIMEOUT_S).brokers.values()
    address = f"{broker.host}:{broker.port}"
    if address_file:
        partial = address_file.with_suffix(".partial")
        partial.write_text(address, encoding="utf-8")
        partial.rename(address_file)
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
