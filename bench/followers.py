"""Clients of event streams, all in one process of their own: each follows one customer and notes when events come."""

import asyncio
import json
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

from bench.served_customers import FEATURES, PURPOSE, SERVICE

OPENING = 32
"""Streams that are opened at the same time; the others wait for their turn."""
OPENED_S = 120


class Arrival(NamedTuple):
    """When, on the machine's monotonic clock, the follower of this number received an event."""

    number: int
    at_s: float


class Followers:
    """``arrivals`` of events after each one's first; ``errors`` are streams that were refused or ended."""

    def __init__(self, port: int, key: str, names: Sequence[str]):
        self.port, self.key, self.names = port, key, names
        self.arrivals: list[Arrival] = []
        self.errors: list[str] = []
        self._turn, self._opened = asyncio.Semaphore(OPENING), 0

    async def run(self, pipe: Connection) -> None:
        """Open all, send how long that took, follow until a message comes, and send what was received."""
        began_s = time.monotonic()
        following = [asyncio.create_task(self.follow(number)) for number in range(len(self.names))]
        while self._opened + len(self.errors) < len(self.names) and time.monotonic() < began_s + OPENED_S:
            await asyncio.sleep(0.001)
        pipe.send((self._opened, time.monotonic() - began_s))
        await asyncio.to_thread(pipe.recv)
        for task in following:
            task.cancel()
        pipe.send((self.arrivals, self.errors))

    async def follow(self, number: int) -> None:
        try:
            async with self._turn:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(self.request(self.names[number]))
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200 "):
                    raise ConnectionError(head.partition(b"\r\n")[0].decode())
                await next_answer(reader)
                self._opened += 1
            while True:
                await next_answer(reader)
                self.arrivals.append(Arrival(number, time.monotonic()))
        except (OSError, EOFError) as error:
            self.errors.append(str(error))

    def request(self, name: str) -> bytes:
        question = {"service": SERVICE, "purpose": PURPOSE, "customer_id": name, "features": FEATURES}
        body = json.dumps(question)
        return (
            f"POST /v1/features/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


async def next_answer(reader: asyncio.StreamReader) -> None:
    """Return at the next answer. Raises EOFError at any other event, or at the stream's end."""
    while True:
        line = await reader.readuntil(b"\n")
        if line == b"event: features\n":
            return
        if line.startswith((b"event: ", b"0\r")):
            raise EOFError(line.decode())


def follow(port: int, key: str, names: Sequence[str], pipe: Connection) -> None:
    """Run the followers: the target of their process."""

    async def run() -> None:
        await Followers(port, key, names).run(pipe)

    asyncio.run(run())
