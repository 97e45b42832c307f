"""Servers of the demo: a Redis for both roles, and the embedded Kafka-protocol broker, which keeps nothing."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from devservers.redis_server import RedisServer
from devservers.server import DidNotStart

START_TIMEOUT_S = 20


class ServerAddresses(NamedTuple):
    """Port of Redis, address of the broker."""

    redis_port: int
    kafka: str


@contextmanager
def running_servers(folder: Path) -> Iterator[ServerAddresses]:
    """Both servers, running until the block ends, in sessions of their own: Ctrl-C stops the other processes first."""
    redis = RedisServer(folder / "redis", durable=True)
    redis.start()
    try:
        with embedded_broker(folder) as kafka:
            yield ServerAddresses(redis.port, kafka)
    finally:
        redis.stop()


@contextmanager
def embedded_broker(folder: Path) -> Iterator[str]:
    """The address of the embedded broker, running until the block ends."""
    address, output = folder / "broker.address", folder / "logs" / "broker.log"
    with output.open("wb") as log:
        command = [sys.executable, "-m", "streams", "broker", "--address-file", str(address)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not address.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(f"The embedded broker did not start; its output is in {output}")
            time.sleep(0.05)
        yield address.read_text()
    finally:
        process.terminate()
        process.wait(timeout=10)
