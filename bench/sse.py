"""Event streams: how many a process holds, what one costs, and how long it takes from a write to its event.

python -m bench.sse --streams 1000
"""

import argparse
import tempfile
import time
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NamedTuple

from psutil import Process
from redis import Redis

from bench import change_notifications
from bench.distribution import quantile
from bench.event_sender import CONTEXT
from bench.followers import Arrival, follow
from bench.served_customers import PURPOSE, customers, fill
from bench.servers import MEMORY
from devservers import results
from devservers.installation import installation
from devservers.redis_server import RedisServer
from featurestore.identity import subject_of
from featurestore.store.protocol import FieldWrite, WriteOutcome
from featurestore.store.redis import RedisStore, subject_key
from featurestore.tiles.stored_field import VALUES_START, fencing_header_of, pack_field

RATE = 200  # writes a second
SECONDS = 20
SETTLED_S = 3
FIELD = f"spend/{PURPOSE}"
NOBODY = "127.0.0.1:1"  # streams need no Kafka


class Write(NamedTuple):
    """A customer's number, and the monotonic time at which the write began."""

    number: int
    at_s: float


class ChangingCustomers:
    """Customers whose spending changes with each write: two of them exchange their values."""

    def __init__(self, url: str, names: Sequence[str]):
        self.store, self.offset, self.sent = RedisStore(url, 5_000), 10**9, list[Write]()
        self.subjects = [subject_of(name, b"bench") for name in names]
        with Redis.from_url(url) as redis:
            self.values = [redis.hget(subject_key(subject), FIELD) for subject in self.subjects]

    def change(self, number: int) -> None:
        self.offset += 1
        self.values[number], self.values[number - 1] = self.values[number - 1], self.values[number]
        body = self.values[number]
        value = pack_field(1, self.offset, fencing_header_of(body).grant_id, body[VALUES_START:])
        self.sent.append(Write(number, time.monotonic()))
        write = FieldWrite(self.subjects[number], FIELD, PURPOSE, value)
        assert self.store.write([write], int(time.time() * 1000)) == [WriteOutcome.DONE]


def measured(folder: Path, streams: int, seconds: float = SECONDS) -> dict[str, float]:
    """Figures of so many streams, all of one process."""
    server = RedisServer(folder / "redis")
    server.start()
    try:
        names = customers(streams)
        fill(server.url, names)
        with serving(folder, server.url) as (process, port, api_key):
            return figures_of(ChangingCustomers(server.url, names), process, port, api_key, names, seconds)
    finally:
        server.stop()


def figures_of(
    customers: ChangingCustomers, process: Process, port: int, api_key: str, names: Sequence[str], seconds: float
) -> dict[str, float]:
    with following(port, api_key, names[:1]):
        time.sleep(SETTLED_S)  # whatever the first stream brings is there
    empty_bytes = process.memory_info().rss
    with following(port, api_key, names) as pipe:
        opened, took_s = pipe.recv()
        time.sleep(SETTLED_S)
        rss_bytes, cpu = process.memory_info().rss, process.cpu_times()
        began_s, random = time.monotonic(), Random(1)
        for turn in range(int(RATE * seconds)):
            time.sleep(max(began_s + turn / RATE - time.monotonic(), 0))
            customers.change(random.randrange(len(names)))
        steadily = len(customers.sent)
        time.sleep(SETTLED_S)
        spent = process.cpu_times()
        for number in range(len(names)):
            customers.change(number)
        time.sleep(SETTLED_S)
        pipe.send("stop")
        arrivals, errors = pipe.recv()
    for error in sorted(set(errors)):
        print(f"{errors.count(error)} x {error}")
    steady, burst = latencies(customers.sent[:steadily], arrivals), latencies(customers.sent[steadily:], arrivals)
    return {
        "streams": opened,
        "errors": len(errors),
        "unheard": len(customers.sent) - len(steady) - len(burst),
        "opened_per_s": opened / took_s,
        "kib_per_stream": (rss_bytes - empty_bytes) / opened / 1024,
        "process_rss_mb": rss_bytes / 1e6,
        "cpu_ms_per_event": (sum(spent[:2]) - sum(cpu[:2])) / steadily * 1000,
        "write_to_event_p50_ms": quantile(steady, 0.5) * 1000,
        "write_to_event_p99_ms": quantile(steady, 0.99) * 1000,
        "burst_write_to_event_p50_ms": quantile(burst, 0.5) * 1000,
        "burst_write_to_event_p99_ms": quantile(burst, 0.99) * 1000,
    }


def latencies(sent: Sequence[Write], arrivals: Sequence[Arrival]) -> list[float]:
    """Seconds from each write to the next event of its customer; of a write that none follows, nothing."""
    came: dict[int, list[float]] = defaultdict(list)
    for arrival in arrivals:
        came[arrival.number].append(arrival.at_s)
    places = [(write, bisect(came[write.number], write.at_s)) for write in sent]
    return [came[w.number][place] - w.at_s for w, place in places if place < len(came[w.number])]


@contextmanager
def following(port: int, api_key: str, names: Sequence[str]) -> Iterator[Connection]:
    """Followers of these customers, one each, until the block ends; ``pipe`` is how they are spoken to."""
    pipe, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=follow, args=(port, api_key, names, theirs), daemon=True)
    process.start()
    try:
        yield pipe
    finally:
        process.terminate()
        process.join()


@contextmanager
def serving(folder: Path, store: str) -> Iterator[tuple[Process, int, str]]:
    """The event streams' process as it is shipped: its worker, its port, and a key that it takes."""
    with installation(folder, kafka=NOBODY, store=store, subject_secret="bench", partitions=1) as made:
        made.prepare_database()
        key = made.make_key()
        made.start_sse()
        (worker,) = (child for child in Process(made.processes["sse"].pid).children() if child.num_threads() > 1)
        yield worker, made.sse_port, key


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sse")
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--try-only", action="store_true", help="a second of each, and nothing is written")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rapport-bench-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        figures = measured(Path(folder), chosen.streams, 1 if chosen.try_only else SECONDS)
        figures |= change_notifications.measured(Path(folder) / "publishing")
    results.report("sse", figures, write_it=not chosen.try_only)


if __name__ == "__main__":
    main()
