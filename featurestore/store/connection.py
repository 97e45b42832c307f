"""Connection to one Redis server: commands out, replies in, by a deadline.

redis-py spends 90 us of CPU more a round trip, and its time-outs are per operation; a feature read has one deadline. A
connection that fails or runs late is closed, never reused. It keeps the run_id of the process at its other end, which a
vouch key must name.

A name's resolution can't be limited in time: a thread of its own resolves, and a caller whose time ends continues with
the addresses that the name had. Every address gets its share of the time; the one that connects is tried first next.
"""

import re
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import hiredis

from featurestore.servers.redis_url import Host, RedisUrl
from featurestore.store.protocol import StoreUnavailable

RUN_ID = re.compile(rb"run_id:(\w+)")
Command = tuple[str | int | float | bytes | memoryview, ...]
Replies = list[Any]  # what hiredis makes of them; errors are values too
Address = tuple[Any, ...]  # as getaddrinfo returns it

RESOLUTION_S = 30.0
"""For so long connections are made without resolving a name again."""
MAX_HOSTS = 16


class Resolution(NamedTuple):
    """Addresses of a host, the one that last connected first, good until a time on the monotonic clock."""

    addresses: Sequence[Address]
    until_s: float


_resolutions: dict[Host, Resolution] = {}
_pending: dict[Host, Future[Resolution]] = {}
_lock = threading.Lock()


class Connection:
    """Connected socket to one server, not shared between threads. ``run_id`` names the server process."""

    def __init__(self, url: RedisUrl, timeout_ms: int):
        self.url = url
        self.reader = hiredis.Reader(notEnoughData=False)
        deadline = time.monotonic() + timeout_ms / 1000
        try:
            self.socket = self._connect(deadline)
            info = self.run([*self._handshake(), ("INFO", "server")], deadline)
        except OSError as error:
            raise StoreUnavailable(f"store is not reachable: {error.strerror or error}") from None
        for reply in info:
            if isinstance(reply, Exception):
                self.close()
                raise StoreUnavailable(f"store refuses the connection: {reply}")
        found = RUN_ID.search(info[-1])
        assert found, "INFO server always names the run_id"
        self.run_id = found[1]

    def _connect(self, deadline: float) -> socket.socket:
        if self.url.kind == "socket":
            return _connect_to((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", self.url.path), _remaining_s(deadline))
        connected = _connect_to_host(self.url.hosts[0], deadline)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.url.tls is None:
            return connected
        try:
            connected.settimeout(_remaining_s(deadline))
            return self.url.tls.context().wrap_socket(connected, server_hostname=self.url.host)
        except BaseException:
            connected.close()
            raise

    def _handshake(self) -> list[Command]:
        commands: list[Command] = []
        if self.url.password:
            commands.append(("AUTH", self.url.username or "default", self.url.password))
        if self.url.database:
            commands.append(("SELECT", self.url.database))
        return commands

    def run(self, commands: Sequence[Command], deadline: float) -> Replies:
        """The replies, errors among them as values, of commands sent at once.

        Raises StoreUnavailable at the monotonic deadline or when the connection breaks, and closes it.
        """
        self.send(commands, deadline)
        return self.receive(len(commands), deadline)

    def send(self, commands: Sequence[Command], deadline: float) -> None:
        try:
            self.socket.settimeout(_remaining_s(deadline))
            packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # its stub errs
            self.socket.sendall(b"".join(packed))
        except (OSError, hiredis.HiredisError) as error:
            raise self._failure(error) from None
        except BaseException:
            self.close()  # the next reply would answer other commands
            raise

    def receive(self, count: int, deadline: float) -> Replies:
        """The next replies. Receive every reply to what was sent, or close the connection."""
        try:
            replies: Replies = []
            while len(replies) < count:
                reply = self.reader.gets()
                if reply is False:
                    self.socket.settimeout(_remaining_s(deadline))
                    received = self.socket.recv(1 << 16)
                    if not received:
                        raise ConnectionResetError("the store closed the connection")
                    self.reader.feed(received)
                else:
                    replies.append(reply)
            return replies
        except (OSError, hiredis.HiredisError) as error:
            raise self._failure(error) from None
        except BaseException:
            self.close()  # the next reply would answer other commands
            raise

    def _failure(self, error: Exception) -> StoreUnavailable:
        self.close()
        late = isinstance(error, TimeoutError)
        return StoreUnavailable("store did not answer in time" if late else f"connection to the store failed: {error}")

    def close(self) -> None:
        self.socket.close()


def _remaining_s(deadline: float) -> float:
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise TimeoutError("timed out")
    return remaining_s


def _connect_to_host(host: Host, deadline: float) -> socket.socket:
    """A socket connected to the first of a host's addresses that accepts. Raises OSError by the deadline."""
    resolution = _resolved(host, deadline)
    error = OSError("its name has no address")
    for i, address in enumerate(resolution.addresses):
        try:
            connected = _connect_to(address, _remaining_s(deadline) / (len(resolution.addresses) - i))
        except OSError as failed:
            error = failed
        else:
            others = (a for a in resolution.addresses if a != address)
            _keep(host, resolution._replace(addresses=(address, *others)))
            return connected
    _keep(host, resolution._replace(until_s=time.monotonic()))  # the next connection resolves the name again
    raise error


def _connect_to(address: Address, timeout_s: float) -> socket.socket:
    family, kind, protocol, _, at = address
    connected = socket.socket(family, kind, protocol)
    try:
        connected.settimeout(timeout_s)
        connected.connect(at)
    except BaseException:
        connected.close()
        raise
    return connected


def _resolved(host: Host, deadline: float) -> Resolution:
    """A host's addresses now; the last ones, if resolving takes more than half of the time that remains."""
    last = _resolutions.get(host)
    if last is not None and time.monotonic() < last.until_s:
        return last
    try:
        return _pending_resolution(host).result(_remaining_s(deadline) / (1 if last is None else 2))
    except OSError as error:  # a TimeoutError is one
        if last is not None:
            return last
        raise OSError(str(error) or "its name is not resolved in time") from None


def _pending_resolution(host: Host) -> Future[Resolution]:
    """The future of a thread that resolves the name and ends: one a host, however many callers wait."""
    with _lock:
        if (pending := _pending.get(host)) is None:
            pending = _pending[host] = Future()
            threading.Thread(target=_resolve, args=(host, pending), name=f"resolve {host[0]}", daemon=True).start()
    return pending


def _resolve(host: Host, future: Future[Resolution]) -> None:
    try:
        try:
            found = socket.getaddrinfo(*host, type=socket.SOCK_STREAM)
        finally:
            with _lock:
                del _pending[host]
    except (OSError, UnicodeError) as error:
        future.set_exception(OSError(f"{host[0]} is not resolved: {error}"))
    else:
        last = _resolutions.get(host)
        addresses = sorted(found, key=lambda address: last is None or address != last.addresses[0])
        resolution = Resolution(addresses, time.monotonic() + RESOLUTION_S)
        _keep(host, resolution)  # for the next connection, if no caller waits any more
        future.set_result(resolution)


def _keep(host: Host, resolution: Resolution) -> None:
    with _lock:
        _resolutions[host] = resolution
        if len(_resolutions) > MAX_HOSTS:
            del _resolutions[next(iter(_resolutions))]
