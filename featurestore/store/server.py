"""Connections of this process to one Redis server, and calls on several servers that wait together.

A *call* is a generator that sends commands and then yields the socket that it waits for; its value is the answer.
``complete`` runs one call, ``complete_all`` calls on several servers: all are sent before the first answer is awaited.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from featurestore.servers.redis_url import RedisUrl, parse_redis_url
from featurestore.store.connection import Command, Connection, Replies
from featurestore.store.protocol import StoreUnavailable
from featurestore.store.sentinel import connect_to_primary

T = TypeVar("T")
REDISCOVERY_S = 0.25
"""A connection so young is not doubted."""
Wait = tuple[socket.socket | None, float]
"""A socket whose next bytes a call waits for, and the call's deadline. None: it connects next, while others wait."""
Call = Generator[Wait, None, T]


class Server:
    """Server at a URL, or the primary that Sentinels name, with its idle connections."""

    def __init__(self, url: str | RedisUrl):
        self.url = parse_redis_url(url) if isinstance(url, str) else url
        self._idle: deque[Connection] = deque()
        self._connected_s = 0.0  # when the last connection was made, on the monotonic clock

    def peer_url(self, address: str) -> RedisUrl:
        """The URL of another server of the same cluster, at host:port."""
        host, _, port = address.rpartition(":")
        return self.url.server_at((host, int(port)))

    def doubt(self) -> None:
        """Note that an answer was not vouched for. Sentinels are asked again whether it came from the primary."""
        if self.url.kind == "sentinel" and time.monotonic() - self._connected_s > REDISCOVERY_S:
            self.close()

    def request(self, commands: Sequence[Command], deadline: float) -> Call[tuple[bytes, Replies]]:
        """The run_id of the server that answered and its replies.

        An idle connection may have been closed by the server: then the commands are sent again on a new one.
        """
        try:
            connection = self._idle.pop()  # the one used last, whose memory is in the caches
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
                self.close()  # what broke this connection broke the others
            except BaseException:  # the caller gave up: the replies must not answer the next request
                connection.close()
                raise
            else:
                self._idle.append(connection)
                return connection.run_id, replies
        yield None, deadline
        connection = self._connect(deadline)
        replies = connection.run(commands, deadline)
        self._idle.append(connection)
        return connection.run_id, replies

    def _connect(self, deadline: float) -> Connection:
        if self.url.kind == "sentinel":
            connection = connect_to_primary(self.url, deadline)
            self._connected_s = time.monotonic()
            return connection
        return Connection(self.url, max(int((deadline - time.monotonic()) * 1000), 1))

    def close(self) -> None:
        """Close the idle connections."""
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
    """The answers of calls on different servers, in order; for a server that can't be reached, the reason."""
    answers: dict[int, T | StoreUnavailable] = {}
    waiting: dict[int, Wait] = {}
    ready: Iterable[int] = range(len(calls))
    try:
        while len(answers) < len(calls):
            for i in ready:
                waiting.pop(i, None)
                try:
                    waiting[i] = next(calls[i])
                except StopIteration as done:
                    answers[i] = done.value
                except StoreUnavailable as error:
                    answers[i] = error
            ready = _ready(waiting)
    finally:
        for call in calls:
            call.close()
    return [answers[i] for i in range(len(calls))]


def _ready(waiting: Mapping[int, Wait]) -> list[int]:
    """The calls to resume: those with bytes to read or past the deadline; if none awaits bytes, one that connects."""
    if len(waiting) <= 1:
        return list(waiting)
    poll, sockets = select.poll(), dict[int, int]()
    for i, (sock, _) in waiting.items():
        if sock is not None:
            poll.register(sock, select.POLLIN)
            sockets[sock.fileno()] = i
    if not sockets:
        return list(waiting)[:1]
    first = min(sockets.values(), key=lambda i: waiting[i][1])
    left_s = waiting[first][1] - time.monotonic()
    return [sockets[number] for number, _ in poll.poll(max(left_s, 0) * 1000)] or [first]
