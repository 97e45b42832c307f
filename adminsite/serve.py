"""The web processes: ``python -m adminsite.serve [--port 8000] [--workers 1]``, by Granian.

SIGHUP exchanges the workers one by one, SIGTERM and SIGINT end them; both drain first, so that no request fails
(featurestore.api.draining). Everything is logged as JSON lines; each request once, by the API itself.

A request has a thread of its own: one whose body comes slowly keeps no other waiting, and how much is in hand is
bounded behind (featurestore.api.admission). Headers are no more than HEADERS_BYTES; what a body may hold, the API says.
"""

import argparse
import ctypes
import os
import threading
import time
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.mp import MPServer

from featurestore.api.draining import SIGNAL
from featurestore.config import settings
from featurestore.logs import configuration

CONNECTIONS, REQUESTS = 2_048, 512  # of a worker, at once
HEADERS_BYTES = 64 * 1024
IDLE_S = 65.0  # longer than proxies keep a connection, so that they send nothing on one that is just being closed
READY_S = 5.0  # until a new worker answers, on a busy machine too; nobody waits meanwhile
DRAIN_S = 2.0  # until whoever asks again has heard from the old one
STOP_S = 20  # longer than any request takes
M_TRIM_THRESHOLD, M_ARENA_MAX = -1, -8  # of glibc's malloc.h
SPARE_BYTES = 2**20  # what a heap may keep at its end


class DrainingServer(MPServer):
    """Granian, whose workers are told ``drain_s`` before they are stopped.

    Two signals at once would be one too many: Python may sleep through one that comes just as it has seen another.
    """

    drain_s = DRAIN_S

    def _stop_workers(self) -> None:
        if self.drain_s:
            for worker in self.wrks:
                tell(worker)
            time.sleep(self.drain_s)
        super()._stop_workers()

    def _respawn_workers(self, workers: list[int], target: Any, loader: Any, delay: float = 0) -> None:
        for place in workers:
            if delay and self.drain_s:  # without delay it has died
                threading.Timer(READY_S, tell, [self.wrks[place]]).start()
            super()._respawn_workers([place], target, loader, delay=delay and READY_S + self.drain_s)


def tell(worker: Any) -> None:
    """Have a worker drain, if it still lives."""
    if worker.is_alive():
        os.kill(worker.inner.pid, SIGNAL)


def keep_one_heap() -> None:
    """Have glibc's malloc, in this process and those it forks, keep one heap and give back what lies free at its end.

    Else it keeps up to eight heaps a core, each as large as the largest answers that its threads ever had in hand. As
    one thread at a time holds the interpreter, they need no more than one. Other C libraries stay as they are.
    """
    if adjust := getattr(ctypes.CDLL(None), "mallopt", None):
        adjust(M_ARENA_MAX, 1)
        adjust(M_TRIM_THRESHOLD, SPARE_BYTES)


def parser_of(program: str, about: str, port: int) -> argparse.ArgumentParser:
    """What every web process may be told."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=about)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=port)
    parser.add_argument("--workers", type=int, default=1, help="processes; as many as cores, where nothing else runs")
    parser.add_argument("--idle-s", type=float, default=IDLE_S, help="how long a connection waits for whole headers")
    return parser


def options(asked: argparse.Namespace, connections: int, stop_s: int) -> dict[str, Any]:
    """Granian's options of every web process, for so many connections a worker."""
    loggers = {name: {"level": "INFO", "propagate": True} for name in ("_granian", "granian.access")}
    return {
        "address": asked.host,
        "port": asked.port,
        "workers": asked.workers,
        "http": HTTPModes.http1,
        "websockets": False,
        "backpressure": connections,
        "http1_settings": HTTP1Settings(header_read_timeout=round(asked.idle_s * 1000), max_buffer_size=HEADERS_BYTES),
        "log_dictconfig": configuration(settings().log_level, loggers),
        "workers_kill_timeout": stop_s,
        "respawn_failed_workers": True,
    }


def main(application: str = "adminsite.wsgi:application") -> None:
    parser = parser_of("adminsite.serve", __doc__, 8000)
    parser.add_argument("--pid-file", type=Path, help="where to write whom to signal")
    parser.add_argument("--drain-s", type=float, default=DRAIN_S, help="from the word that it ends to the end")
    asked = parser.parse_args()
    server = DrainingServer(
        application,
        interface=Interfaces.WSGI,
        blocking_threads=REQUESTS,
        pid_file=asked.pid_file,
        **options(asked, CONNECTIONS, STOP_S),
    )
    server.drain_s = asked.drain_s
    keep_one_heap()
    server.serve()


if __name__ == "__main__":
    main()
