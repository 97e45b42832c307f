"""A thin connection to one Redis: commands out, replies in, by a deadline.

redis-py spends 90 us of CPU more a round trip, and its time-outs are per operation; a feature read has one deadline. A
connection that fails or runs late is closed, never reused. It learns the run_id of the process at its other end, so
that a voucher for another run is not believed.

Nothing limits how long a name takes to be resolved: a thread beside the request asks, and who waits too long goes on
with the addresses that the name had. Every address gets its share of the time, and the one that answers is the next to
be tried first.
"""

import re
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlparse

import hiredis

from featurestore.store.protocol import StoreUnavailable

RUN_ID = re.compile(rb"run_id:(\w+)")
Command = tuple[str | int | float | bytes | memoryview, ...]
Replies = list[Any]  # what hiredis makes of them; errors are values too
Host = tuple[str, int]
Address = tuple[Any, ...]  # as getaddrinfo tells it

KEPT_S = 30.0
"""How long a connection is made without asking what addresses a name has now."""
MOST_HOSTS = 16


class Known(NamedTuple):
    """A host's addresses, the one that last answered first, and until when on the monotonic clock they are good."""

    addresses: Sequence[Address]
    until_s: float


_known: dict[Host, Known] = {}
_asking: dict[Host, Future[Known]] = {}
_lock = threading.Lock()


class Connection:
    """One socket, not shared between threads. ``run_id`` names the server process."""

    def __init__(self, url: str, timeout_ms: int):
        self.url = urlparse(url)
        self.reader = hiredis.Reader(notEnoughData=False)
        deadline = time.monotonic() + timeout_ms / 1000
        try:
            self.socket = self._connect(deadline)
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

    def _connect(self, deadline: float) -> socket.socket:
        if self.url.scheme == "unix":
            return _dial((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", self.url.path), _left_s(deadline))
        if self.url.scheme not in ("redis", "rediss"):
            schemes = "redis://, rediss:// or unix://"
            raise StoreUnavailable(f"store_url must begin with {schemes}, not {self.url.scheme}://")
        name = self.url.hostname or "127.0.0.1"
        connected = _reach((name, self.url.port or 6379), deadline)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.url.scheme == "redis":
            return connected
        connected.settimeout(_left_s(deadline))
        return _tls().wrap_socket(connected, server_hostname=name)  # closes it when the handshake fails

    def _greeting(self) -> list[Command]:
        commands: list[Command] = []
        if self.url.password:
            commands.append(("AUTH", unquote(self.url.username or "default"), unquote(self.url.password)))
        database = parse_qs(self.url.query).get("db", [self.url.path.strip("/")])[0]
        if self.url.scheme != "unix" and database not in ("", "0"):
            commands.append(("SELECT", database))
        return commands

    def run(self, commands: Sequence[Command], deadline: float) -> Replies:
        """The replies, errors among them as values, of commands sent at once.

        Raises StoreUnavailable at the monotonic deadline or when the connection breaks, and closes it.
        """
        self.send(commands, deadline)
        return self.receive(len(commands), deadline)

    def send(self, commands: Sequence[Command], deadline: float) -> None:
        try:
            self.socket.settimeout(_left_s(deadline))
            packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # its stub errs
            self.socket.sendall(b"".join(packed))
        except (OSError, hiredis.HiredisError) as error:
            raise self._lost(error) from None
        except BaseException:
            self.close()  # the next reply would answer another question
            raise

    def receive(self, count: int, deadline: float) -> Replies:
        """The next replies. Each reply to what was sent must be received, or its connection be closed."""
        try:
            replies: Replies = []
            while len(replies) < count:
                reply = self.reader.gets()
                if reply is False:
                    self.socket.settimeout(_left_s(deadline))
                    received = self.socket.recv(1 << 16)
                    if not received:
                        raise ConnectionResetError("the store closed the connection")
                    self.reader.feed(received)
                else:
                    replies.append(reply)
            return replies
        except (OSError, hiredis.HiredisError) as error:
            raise self._lost(error) from None
        except BaseException:
            self.close()  # the next reply would answer another question
            raise

    def _lost(self, error: Exception) -> StoreUnavailable:
        self.close()
        late = isinstance(error, TimeoutError)
        return StoreUnavailable("store did not answer in time" if late else f"store is gone: {error}")

    def close(self) -> None:
        self.socket.close()


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


def _reach(host: Host, deadline: float) -> socket.socket:
    """A connection to the first of a host's addresses that takes one. Raises OSError by the deadline."""
    known = _addresses(host, deadline)
    error = OSError("its name has no address")
    for i, address in enumerate(known.addresses):
        try:
            connected = _dial(address, _left_s(deadline) / (len(known.addresses) - i))
        except OSError as failed:
            error = failed
        else:
            _keep(host, Known((address, *(a for a in known.addresses if a != address)), known.until_s))
            return connected
    _keep(host, known._replace(until_s=time.monotonic()))  # who comes next asks where it is now
    raise error


def _dial(address: Address, timeout_s: float) -> socket.socket:
    family, kind, protocol, _, at = address
    dialled = socket.socket(family, kind, protocol)
    try:
        dialled.settimeout(timeout_s)
        dialled.connect(at)
    except BaseException:
        dialled.close()
        raise
    return dialled


def _addresses(host: Host, deadline: float) -> Known:
    """A host's addresses now; as they last were, if no answer comes in half of the time that is left."""
    known = _known.get(host)
    if known is not None and time.monotonic() < known.until_s:
        return known
    try:
        return _asked(host).result(_left_s(deadline) / (1 if known is None else 2))
    except OSError as error:  # a TimeoutError is one
        if known is not None:
            return known
        raise OSError(str(error) or "its name is not resolved in time") from None


def _asked(host: Host) -> Future[Known]:
    """The answer to come, from a thread that ends with it: one a host, however many wait for it."""
    with _lock:
        if (asked := _asking.get(host)) is None:
            asked = _asking[host] = Future()
            threading.Thread(target=_ask, args=(host, asked), name=f"resolve {host[0]}", daemon=True).start()
    return asked


def _ask(host: Host, answer: Future[Known]) -> None:
    try:
        try:
            found = socket.getaddrinfo(*host, type=socket.SOCK_STREAM)
        finally:
            with _lock:
                del _asking[host]
    except (OSError, UnicodeError) as error:
        answer.set_exception(OSError(f"{host[0]} is not resolved: {error}"))
    else:
        last = _known.get(host)
        addresses = sorted(found, key=lambda address: last is None or address != last.addresses[0])
        known = Known(addresses, time.monotonic() + KEPT_S)
        _keep(host, known)  # for who comes next, if nobody waits any more
        answer.set_result(known)


def _keep(host: Host, known: Known) -> None:
    with _lock:
        _known[host] = known
        if len(_known) > MOST_HOSTS:
            del _known[next(iter(_known))]


@cache
def _tls() -> ssl.SSLContext:
    """Verifies the server by the system's authorities, or those of SSL_CERT_FILE, which OpenSSL reads itself."""
    return ssl.create_default_context()
