"""TCP proxy between a server and its clients, for network partitions and for faults between two requests.

While it is cut no byte passes, and no connection is closed or refused. What was sent meanwhile arrives when it is
restored: so requests of a worker that was replaced long ago reach the broker, unlike those to a stopped broker.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable

import uvloop

from devservers.ports import free_port

CHUNK_BYTES = 1 << 18


class Proxy:
    """Proxy from ``port`` to ``target_port``, both on loopback."""

    def __init__(self, target_port: int) -> None:
        self.port, self.target_port = free_port(), target_port
        self._loop = uvloop.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._interruptions: deque[tuple[int, Callable[[], object]]] = deque()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._listening = threading.Event()

    @property
    def interruptions(self) -> int:
        """Number of actions of ``interrupt`` that are not done yet."""
        return len(self._interruptions)

    def start(self) -> None:
        self._thread.start()
        self._listening.wait()

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._open.clear)

    def restore(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    def interrupt(self, action: Callable[[], object], *, after: int) -> None:
        """Do something once between two requests of clients that wait for each answer: after so many more requests.

        Several are done one after the other, each after so many requests since the one before.
        """
        self._interruptions.append((after, action))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", self.port))
        self._listening.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _accept(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:  # the server is down: close the client's connection
            to_client.close()
            return
        for source, target, before in (
            (from_client, to_server, self._before_request),
            (from_server, to_client, lambda: None),
        ):
            task = self._loop.create_task(self._forward(source, target, before))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, before: Callable[[], None]
    ) -> None:
        with contextlib.suppress(OSError):  # either side may be killed at any time; the other is closed here
            while data := await source.read(CHUNK_BYTES):
                await self._open.wait()
                before()
                target.write(data)
                await target.drain()
        target.close()

    def _before_request(self) -> None:
        if self._interruptions:
            left, action = self._interruptions.popleft()
            if left:
                self._interruptions.appendleft((left - 1, action))
            else:
                action()
