"""Latency from produce to readable: from handing an event to the producer until its customer's new value is in Redis.

Every event is another customer's, whose state and value are there from an earlier event. Redis notifies of writes
(keyspace notifications cost it a message a write, the same for every contestant), so nothing is polled. A probe bounds
the error: it writes keys of its own fifty times a second, and the figures include how long their notifications take.
"""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import hiredis
from redis import Redis

from bench.contestants.workers import Contestant, working
from bench.event_sender import CONTEXT, sending, stamps
from bench.servers import PARTITIONS, subjects_of
from bench.throughput import at_once
from bench.waiting import wait_until

LATE_S = 30
QUIET_S = 2.0
PROBE = "probe:"
PROBES_PER_S = 50
CHANNEL = b"__keyspace@0__:"
WRITES = "Kh$"  # keyspace notifications of hashes and strings


def latencies_ms(contestant: Contestant, rate: int, seconds: int) -> tuple[list[float], list[float]]:
    """Of every event sent at a steady rate, and of the probe's writes. Fails if an event is not seen in time."""
    servers, count = contestant.servers, rate * seconds
    subjects = subjects_of(f"{contestant.topic}-{rate}", count)
    servers.permit(subjects)
    sent, probed = stamps(count), stamps(PROBES_PER_S * seconds)
    with working(contestant) as worker:
        servers.send(contestant.topic, at_once(subjects, 10**9))
        last = subjects[-PARTITIONS * 20 :]
        wait_until("the last customers are known", lambda: all(contestant.seen(last)), worker)
        wait_until("all customers are known", lambda: all(contestant.seen(subjects)), worker)
        by_key = {contestant.key(subject).encode(): i for i, subject in enumerate(subjects)}
        probes = {f"{PROBE}{i}".encode(): i for i in range(len(probed))}
        times = {key: (sent, i) for key, i in by_key.items()} | {key: (probed, i) for key, i in probes.items()}
        with listening(servers.redis_server.port, times) as listener:
            listener.wait_for_quiet(LATE_S)
            with (
                probing(servers.redis_server.port, probed),
                sending(servers.broker.bootstrap, contestant.topic, at_once(subjects, 2 * 10**9), sent, rate),
            ):
                listener.listen(seconds + LATE_S)
    unseen = len(by_key.keys() - listener.received.keys())
    assert not unseen, f"{contestant.title} at {rate}/s: {unseen} events were not readable within {LATE_S} s"
    return (
        [(listener.received[key] - sent[i]) * 1000 for key, i in by_key.items()],
        [(listener.received[key] - probed[i]) * 1000 for key, i in probes.items() if key in listener.received],
    )


class Listener:
    """Receiver of Redis' notifications of writes.

    ``times`` has for each key where its sender writes the time of sending: an earlier write is not its event's.
    ``received`` has the time of the first notification after that.
    """

    def __init__(self, connection: socket.socket, times: Mapping[bytes, tuple[Any, int]]) -> None:
        self.received: dict[bytes, float] = {}
        self._connection, self._waiting, self._reader = connection, dict(times), hiredis.Reader()

    def listen(self, timeout_s: float) -> None:
        """Receive until all keys were written, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while self._waiting and (left_s := deadline - time.monotonic()) > 0:
            now, names = self._receive(left_s)
            for name in names:
                if (place := self._waiting.get(name)) and place[0][place[1]]:
                    del self._waiting[name]
                    self.received[name] = now

    def wait_for_quiet(self, timeout_s: float, quiet_s: float = QUIET_S) -> None:
        """Receive until no wanted key was written for a while: a worker may push values again."""
        began = quiet_since = time.monotonic()
        while (now := time.monotonic()) < quiet_since + quiet_s:
            assert now < began + timeout_s, "values are written without end"
            now, names = self._receive(quiet_since + quiet_s - now)
            if any(name in self._waiting for name in names):
                quiet_since = now

    def _receive(self, timeout_s: float) -> tuple[float, list[bytes]]:
        """The time of a notification or the time-out, and the keys that were written."""
        self._connection.settimeout(timeout_s)
        try:
            received = self._connection.recv(1 << 16)
        except TimeoutError:
            return time.monotonic(), []
        now, names = time.monotonic(), list[bytes]()
        assert received, "Redis ended"
        self._reader.feed(received)
        while (message := self._reader.gets()) is not False:
            if message[0] == b"pmessage":
                names.append(message[2].removeprefix(CHANNEL))
        return now, names


@contextmanager
def listening(port: int, times: Mapping[bytes, tuple[Any, int]]) -> Iterator[Listener]:
    """Notifications of Redis' writes, switched off at the block's end."""
    with Redis(port=port) as redis, socket.create_connection(("127.0.0.1", port)) as connection:
        redis.config_set("notify-keyspace-events", WRITES)
        connection.sendall(hiredis.pack_command(("PSUBSCRIBE", CHANNEL + b"*")))
        try:
            yield Listener(connection, times)
        finally:
            redis.config_set("notify-keyspace-events", "")


@contextmanager
def probing(port: int, probed: Any) -> Iterator[None]:
    """Write the probe's keys until the block ends; ``probed`` takes the times."""
    process = CONTEXT.Process(target=probe, args=(port, probed), daemon=True)
    process.start()
    try:
        yield
        process.join()
    finally:
        process.terminate()


def probe(port: int, probed: Any) -> None:
    with Redis(port=port) as redis:
        redis.ping()
        for i in range(len(probed)):
            probed[i] = time.monotonic()
            redis.set(f"{PROBE}{i}", b"")
            time.sleep(1 / PROBES_PER_S)
