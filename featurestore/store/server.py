"""One Redis server, as this process reaches it: a connection a call at a time, and calls that wait together.

A *call* is a generator that sends and then yields what it waits for; its value is the answer. One call is driven by
``complete``, calls on several servers by ``complete_all``: all are sent before the first answer is waited for.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar
from urllib.parse import urlparse

from featurestore.store.connection import Command, Connection, Replies
from featurestore.store.protocol import StoreUnavailable

T = TypeVar("T")


Awaited = tuple[socket.socket | None, float]
"""A socket whose next bytes a call waits for, or None: its turn to connect, while the others wait; and its deadline."""
Call = Generator[Awaited, None, T]


class Server:
    """The server at a URL: ``redis[s]://[user:password@]host:port/db`` or ``unix:///path``."""

    def __init__(self, url: str):
        self.url = url
        self._idle: deque[Connection] = deque()

    @property
    def host(self) -> str:
        return urlparse(self.url).hostname or "127.0.0.1"

    def peer_url(self, address: str) -> str:
        """The URL of another server of the same cluster, at host:port."""
        at = urlparse(self.url)
        host, _, port = address.rpartition(":")
        user, found, _ = at.netloc.rpartition("@")
        return f"{at.scheme}://{user}{found}{f'[{host}]' if ':' in host else host}:{port}/"

    def request(self, commands: Sequence[Command], deadline: float) -> Call[tuple[bytes, Replies]]:
        """The run that answered and its replies. A kept connection may have died meanwhile: once more on a new one."""
        try:
            connection = self._idle.pop()  # the one used last, whose memory is warm
        except IndexError:
            connection = None
        if connection is not None:
            try:
                connection.send(commands, deadline)
                yield connection.socket, deadline
                replies = connection.receive(len(commands), deadline)
            except StoreUnavailable:
                if time.monotonic() >= deadline:
                    raise
                self.close()  # what broke this one broke the others
            except BaseException:  # nobody waits for the answer any more
                connection.close()
                raise
            else:
                self._idle.append(connection)
                return connection.run_id, replies
        yield None, deadline
        connection = Connection(self.url, max(int((deadline - time.monotonic()) * 1000), 1))
        replies = connection.run(commands, deadline)
        self._idle.append(connection)
        return connection.run_id, replies

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()


def complete(call: Call[T]) -> T:
    """The answer of one call. Raises what it raises."""
    try:
        while True:
            next(call)
    except StopIteration as done:
        answer: T = done.value
        return answer


def complete_all(calls: Sequence[Call[T]]) -> list[T | StoreUnavailable]:
    """The answers of calls on different servers, in order; of a server that is away, the reason."""
    answers: dict[int, T | StoreUnavailable] = {}
    waiting: dict[int, Awaited] = {}
    going: Iterable[int] = range(len(calls))
    try:
        while len(answers) < len(calls):
            for i in going:
                waiting.pop(i, None)
                try:
                    waiting[i] = next(calls[i])
                except StopIteration as done:
                    answers[i] = done.value
                except StoreUnavailable as error:
                    answers[i] = error
            going = _ready(waiting)
    finally:
        for call in calls:
            call.close()
    return [answers[i] for i in range(len(calls))]


def _ready(waiting: Mapping[int, Awaited]) -> list[int]:
    """The calls that go on: whose answer comes or is late; when nobody's is waited for, the first that connects."""
    if len(waiting) <= 1:
        return list(waiting)
    poll, sockets = select.poll(), dict[int, int]()
    for i, (awaited, _) in waiting.items():
        if awaited is not None:
            poll.register(awaited, select.POLLIN)
            sockets[awaited.fileno()] = i
    if not sockets:
        return list(waiting)[:1]
    first = min(sockets.values(), key=lambda i: waiting[i][1])
    left_s = waiting[first][1] - time.monotonic()
    return [sockets[number] for number, _ in poll.poll(max(left_s, 0) * 1000)] or [first]
