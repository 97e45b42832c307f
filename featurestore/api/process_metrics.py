"""Metrics of all processes behind one port: whichever is asked collects those of the others.

A server with several workers gives each scrape to one of them. So each worker serves its metrics on a Unix socket in
its server's folder; the one that is asked reads them all, and adds the label ``process`` with the worker's process id.

Why not prometheus_client's multiprocess mode: it writes each increment to a file (a read has about ten), sums what
ended processes left, and knows gauges of live processes only if somebody reports each death. Here a process that has
ended leaves nothing, an increment costs nothing more, and a counter of a new process is a series of its own, so that
no sum ever falls.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import msgspec
import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

PREFIX = "rapport-metrics-"
LABEL = "process"
ANSWER_S = 1.0
"""Longest wait for another process's metrics."""

RETRY_S = 0.1
"""Pause after a connection that failed: without it a process without free descriptors would only log."""

log = structlog.get_logger(__name__)


class Family(msgspec.Struct, array_like=True):
    """A metric of one process: its samples are names, labels and values."""

    name: str
    documentation: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


_collecting = threading.Lock()
"""Held while this process's metrics are collected: a fork in between would copy metrics that are locked for ever."""
os.register_at_fork(before=_collecting.acquire, after_in_parent=_collecting.release, after_in_child=_collecting.release)

ENCODER, DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[Family])


def folder_of(server: int) -> Path:
    """The folder of the sockets of a server's workers, by the server's process id."""
    return Path(tempfile.gettempdir()) / f"{PREFIX}{server}"


def make_folder() -> Path | None:
    """Make this server's folder, before it starts workers. Folders of servers that have ended are removed.

    None if there is one of another user, into which this server puts nothing: then each worker answers its own metrics.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if is_left(left):
            shutil.rmtree(left, ignore_errors=True)
    made = folder_of(os.getpid())
    try:
        made.mkdir(mode=0o700)
    except OSError as error:
        log.warning("each worker answers its own metrics alone: no folder for their sockets", error=str(error))
        return None
    return made


def is_left(folder: Path) -> bool:
    """Whether a folder is of a server that has ended. One of this process's id is: the id was another's before."""
    number = folder.name.removeprefix(PREFIX)
    if not number.isdigit() or not is_own(folder):
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return int(number) == os.getpid()


def serve_to_other_workers() -> None:
    """Serve this worker's metrics to the other workers of its server, in a thread; without a folder there are none."""
    folder = folder_of(os.getppid())
    if not is_own(folder):
        return
    try:
        listener = Listener(str(folder / str(os.getpid())), family="AF_UNIX", backlog=16)
    except OSError as error:
        log.warning("metrics of this process are answered by itself alone", error=str(error))
        return
    threading.Thread(target=_serve_forever, args=(listener,), name="metrics", daemon=True).start()


def is_own(folder: Path) -> bool:
    """Whether a folder exists and nobody else can write into it."""
    try:
        status = folder.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and status.st_mode & 0o077 == 0


def _serve_forever(listener: Listener) -> None:
    while True:
        try:
            with listener.accept() as connection:
                connection.send_bytes(ENCODER.encode(own_families()))
        except OSError as error:  # the other worker has ended meanwhile, or this one has no free descriptor
            log.warning("metrics not sent to another process", error=str(error))
            time.sleep(RETRY_S)


def own_families() -> list[Family]:
    """The metrics of this process."""
    with _collecting:
        return families(REGISTRY.collect())


def families(metrics: Iterable[Metric]) -> list[Family]:
    """Metrics as they are sent."""
    return [
        Family(m.name, m.documentation, m.type, [(s.name, dict(s.labels), s.value) for s in m.samples]) for m in metrics
    ]


def process_metrics(server: int | None = None) -> bytes:
    """The metrics of all workers of a server in Prometheus' text format; of this process, if alone.

    ``server`` is this worker's own, which is its parent, unless it is named: a server that has no port but this one
    asks for its own workers.
    """
    folder = folder_of(os.getppid() if server is None else server)
    others = sorted(path for path in folder.glob("*") if path.name != str(os.getpid())) if is_own(folder) else []
    found = {path.name: metrics for path in others if (metrics := _asked(path)) is not None}
    if not found:
        with _collecting:
            return generate_latest(REGISTRY)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Labelled({str(os.getpid()): own_families(), **found}))
    return generate_latest(registry)


def _asked(path: Path) -> list[Family] | None:
    """The metrics of another worker; None of one that has ended or does not answer."""
    try:
        with connected(path) as connection:
            if connection.poll(ANSWER_S):
                return DECODER.decode(connection.recv_bytes())
        log.warning("a process behind the same port does not send its metrics", process=path.name)
    except ConnectionRefusedError:  # it has ended, and left its socket
        path.unlink(missing_ok=True)
    except (OSError, EOFError) as error:
        log.warning("a process behind the same port does not send its metrics", process=path.name, error=str(error))
    return None


def connected(path: Path) -> Connection:
    """A connection to a worker's socket."""
    return Client(str(path), family="AF_UNIX")


class Labelled(Collector):
    """Collector of the metrics of several processes, each sample with its process."""

    def __init__(self, by_process: dict[str, list[Family]]) -> None:
        self.by_process = by_process

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        for process, metrics in sorted(self.by_process.items()):
            for family in metrics:
                metric = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for name, labels, value in family.samples:
                    metric.add_sample(name, {LABEL: process, **labels}, value)
        return iter(merged.values())
