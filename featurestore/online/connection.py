"""A thin connection to one Redis: commands out, replies in, by a deadline.

redis-py spends 90 us of CPU more a round trip, and its time-outs are per operation; a feature read has one deadline. A
connection that fails or runs late is closed, never reused. It learns the run_id of the process at its other end, so
that a voucher for another run is not believed.
"""

import re
import socket
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import hiredis

from featurestore.online.store import StoreUnavailable

RUN_ID = re.compile(rb"run_id:(\w+)")
Command = tuple[str | int | float | bytes | memoryview, ...]
Replies = list[Any]  # what hiredis makes of them; errors are values too


class Connection:
    """One socket, not shared between threads. ``run_id`` names the server process."""

    def __init__(self, url: str, timeout_ms: int):
        self.url = urlparse(url)
        self.reader = hiredis.Reader(notEnoughData=False)
        deadline = time.monotonic() + timeout_ms / 1000
        try:
            self.socket = self._connect(timeout_ms / 1000)
            info = self.run([*self._greeting(), ("INFO", "server")], deadline)
        except OSError as error:
            raise StoreUnavailable(f"store is not reachable: {error.strerror or error}") from None
        for reply in info:
            if isinstance(reply, Exception):
                self.close()
                raise StoreUnavailable(f"store refuses the connection: {reply}")
        found = RUN_ID.search(info[-1])
        assert found, "INFO server always names the run_id"
        self.run_id = found[1]

    def _connect(self, timeout_s: float) -> socket.socket:
        if self.url.scheme == "unix":
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connected.settimeout(timeout_s)
            connected.connect(self.url.path)
            return connected
        if self.url.scheme != "redis":
            raise StoreUnavailable(f"store_url must begin with redis:// or unix://, not {self.url.scheme}://")
        connected = socket.create_connection((self.url.hostname or "127.0.0.1", self.url.port or 6379), timeout_s)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def _greeting(self) -> list[Command]:
        commands: list[Command] = []
        if self.url.password:
            commands.append(("AUTH", unquote(self.url.username or "default"), unquote(self.url.password)))
        database = parse_qs(self.url.query).get("db", [self.url.path.strip("/")])[0]
        if self.url.scheme == "redis" and database not in ("", "0"):
            commands.append(("SELECT", database))
        return commands

    def run(self, commands: Sequence[Command], deadline: float) -> Replies:
        """The replies, errors among them as values, of commands sent at once.

        Raises StoreUnavailable at the monotonic deadline or when the connection breaks, and closes it.
        """
        try:
            self._wait_until(deadline)
            packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # its stub errs
            self.socket.sendall(b"".join(packed))
            replies: Replies = []
            while len(replies) < len(commands):
                reply = self.reader.gets()
                if reply is False:
                    self._wait_until(deadline)
                    received = self.socket.recv(1 << 16)
                    if not received:
                        raise ConnectionResetError("the store closed the connection")
                    self.reader.feed(received)
                else:
                    replies.append(reply)
            return replies
        except (OSError, hiredis.HiredisError) as error:
            self.close()
            late = isinstance(error, TimeoutError)
            raise StoreUnavailable("store did not answer in time" if late else f"store is gone: {error}") from None
        except BaseException:
            self.close()  # its next reply would answer another question
            raise

    def _wait_until(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.socket.settimeout(left_s)

    def close(self) -> None:
        self.socket.close()
