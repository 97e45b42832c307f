"""Web server processes: ``python -m adminsite.serve [--port 8000] [--workers 1]``, run by Granian.

SIGHUP replaces the workers one by one, SIGTERM and SIGINT end them; both drain first, so that no request fails
(featurestore.api.draining). Everything is logged as JSON lines; each request once, by the API itself.

Each request has its own thread, so a slow body delays no other request; featurestore.api.admission limits how many are
processed at once. Headers have at most MAX_HEADERS_BYTES; the API limits bodies.
"""

import argparse
import ctypes
import os
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketHolder
from granian.server.mp import MPServer

from featurestore.api.draining import SIGNAL
from featurestore.api.process_metrics import make_folder
from featurestore.config import settings
from featurestore.logs import configuration

MAX_CONNECTIONS, MAX_REQUESTS = 2_048, 512  # of an API worker, at once
MAX_HEADERS_BYTES = 64 * 1024
IDLE_S = 65.0  # longer than proxies keep a connection, so that they send nothing on one that is being closed
READY_S = 5.0  # until a new API worker answers, also on a busy machine; the old one serves meanwhile
DRAIN_S = 2.0  # until clients of the old API worker have received their answers
STOP_S = 20  # longer than any request takes
M_TRIM_THRESHOLD, M_ARENA_MAX = -1, -8  # of glibc's malloc.h
SPARE_BYTES = 2**20  # free memory that a heap may keep at its end


class SharedSocketServer(MPServer):
    """Granian server whose workers accept connections from one socket.

    Granian on Linux gives each worker a socket of its own on the same port. When a worker ends, Linux resets the
    connections that wait in its socket, unless ``net.ipv4.tcp_migrate_req`` is set.
    """

    def _init_shared_socket(self) -> None:
        family = socket.AF_INET6 if ":" in self.bind_addr else socket.AF_INET
        self._sso = socket.create_server((self.bind_addr, self.bind_port), family=family, backlog=self.backlog)
        self._sso.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        self._sso.setblocking(False)
        self._sso.set_inheritable(True)
        holder: Any = SocketHolder  # Granian's stub lacks the arguments
        self._shd = holder(self._sso.fileno(), uds=False, backlog=self.backlog)

    def serve_with_metrics(self) -> None:
        """Serve until the end. Several workers collect each other's metrics (featurestore.api.process_metrics)."""
        folder = make_folder() if self.workers > 1 else None
        try:
            self.serve()
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


class DrainingServer(SharedSocketServer):
    """Server that signals its workers to drain ``drain_s`` before it stops them.

    The signals are apart, because Python may miss one that arrives while it handles another.
    """

    drain_s = DRAIN_S

    def _stop_workers(self) -> None:
        if self.drain_s:
            for worker in self.wrks:
                signal_drain(worker)
            time.sleep(self.drain_s)
        super()._stop_workers()

    def _respawn_workers(self, workers: list[int], target: Any, loader: Any, delay: float = 0) -> None:
        for index in workers:
            if delay and self.drain_s:  # without delay it has died
                threading.Timer(READY_S, signal_drain, [self.wrks[index]]).start()
            super()._respawn_workers([index], target, loader, delay=delay and READY_S + self.drain_s)


def signal_drain(worker: Any) -> None:
    """Send an API worker the signal to drain, if it is alive."""
    if worker.is_alive():
        os.kill(worker.inner.pid, SIGNAL)


def keep_one_heap() -> None:
    """Have glibc's malloc, in this process and its forks, keep one heap and release free memory at its end.

    Its default is up to eight heaps a core, each as large as its threads' largest answers. Only one thread at a time
    runs Python, so one heap is enough. With other C libraries nothing changes.
    """
    if adjust := getattr(ctypes.CDLL(None), "mallopt", None):
        adjust(M_ARENA_MAX, 1)
        adjust(M_TRIM_THRESHOLD, SPARE_BYTES)


def parser_of(program: str, description: str, port: int) -> argparse.ArgumentParser:
    """Parser of the arguments of every web process."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=port)
    parser.add_argument(
        "--workers", type=int, default=1, help="number of processes; the number of cores if nothing else runs"
    )
    parser.add_argument(
        "--idle-s", type=float, default=IDLE_S, help="seconds a connection may take to send its headers"
    )
    return parser


def options(arguments: argparse.Namespace, connections: int, stop_s: int) -> dict[str, Any]:
    """Granian's options of a web process with at most ``connections`` per API worker."""
    loggers = {name: {"level": "INFO", "propagate": True} for name in ("_granian", "granian.access")}
    return {
        "address": arguments.host,
        "port": arguments.port,
        "workers": arguments.workers,
        "http": HTTPModes.http1,
        "websockets": False,
        "backpressure": connections,
        "http1_settings": HTTP1Settings(
            header_read_timeout=round(arguments.idle_s * 1000), max_buffer_size=MAX_HEADERS_BYTES
        ),
        "log_dictconfig": configuration(settings().log_level, loggers),
        "workers_kill_timeout": stop_s,
        "respawn_failed_workers": True,
    }


def main(application: str = "adminsite.wsgi:application") -> None:
    parser = parser_of("adminsite.serve", __doc__, 8000)
    parser.add_argument("--pid-file", type=Path, help="file for the id of the process to signal")
    parser.add_argument("--drain-s", type=float, default=DRAIN_S, help="seconds from the signal to drain to the end")
    arguments = parser.parse_args()
    server = DrainingServer(
        application,
        interface=Interfaces.WSGI,
        blocking_threads=MAX_REQUESTS,
        pid_file=arguments.pid_file,
        **options(arguments, MAX_CONNECTIONS, STOP_S),
    )
    server.drain_s = arguments.drain_s
    keep_one_heap()
    server.serve_with_metrics()


if __name__ == "__main__":
    main()
