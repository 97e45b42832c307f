"""The demo's own servers: Redis for both roles, and the Kafka-protocol broker that forgets everything at its end."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from devservers.redis_server import RedisServer

START_TIMEOUT_S = 20


class ServerError(Exception):
    """A server did not start; the message says where its output is."""


class Servers(NamedTuple):
    """Where they are."""

    redis_port: int
    kafka: str


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Both, running until the block ends. In sessions of their own: Ctrl-C stops the processes before their servers."""
    redis = RedisServer(folder / "redis", durable=True)
    redis.start()
    try:
        with broker(folder) as kafka:
            yield Servers(redis.port, kafka)
    finally:
        redis.stop()


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """The embedded broker's address."""
    address, output = folder / "broker.address", folder / "logs" / "broker.log"
    with output.open("wb") as log:
        command = [sys.executable, "-m", "streams", "broker", "--address-file", str(address)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not address.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"the embedded broker did not start; its output is in {output}")
            time.sleep(0.05)
        yield address.read_text()
    finally:
        process.terminate()
        process.wait(timeout=10)
