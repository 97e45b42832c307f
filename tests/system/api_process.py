"""The API as a process of its own, and clients that count what they are answered."""

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from devservers.installation import Installation, Process

IDLE_S = 3.0
KAFKA = "127.0.0.1:1"  # nobody: reads need none


class ApiProcess:
    """The API as one process of an installation."""

    def __init__(self, folder: Path, store: str) -> None:
        self.installation = Installation(folder, kafka=KAFKA, store=store, serves="api")
        self.installation.drain_s, self.installation.idle_s = 3, IDLE_S
        self.installation.prepare_database()
        self.port = self.installation.api_port
        self.client: httpx.Client = self.installation.start_api()

    @property
    def process(self) -> Process:
        return self.installation.processes["api"]

    def log_lines(self) -> list[dict[str, object]]:
        return self.installation.logs("api")


class HealthClients:
    """Clients in threads: some keep their connection, some open one a request. ``failed`` counts failures by kind.

    A new connection may be closed unanswered once: a worker can accept it in its last moment, and clients and proxies
    repeat a GET then. With ``balanced``, as behind a load balancer, a client whose connection is closed in order does
    not return.
    """

    def __init__(self, port: int, *, balanced: bool = False) -> None:
        self.port, self.balanced = port, balanced
        self.answered, self.failed = Counter[str](), Counter[str]()
        self.repeated = False
        self.over = threading.Event()

    @contextmanager
    def running(self, keeping: int = 4, opening: int = 2) -> Iterator["HealthClients"]:
        kinds = ["keeps"] * keeping + ["opens"] * opening
        threads = [threading.Thread(target=self._request, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.over.set()
            for thread in threads:
                thread.join(20)

    def _request(self, kind: str) -> None:
        connection = self._connection()
        while not self.over.wait(0.002):
            connected = connection.sock is not None
            try:
                if not connected:
                    connection.connect()
                    connected = True
                connection.request("GET", "/healthz")
                answer = connection.getresponse()
                answer.read()
            except ConnectionRefusedError:
                return  # the process has ended
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if kind == "opens" and isinstance(error, http.client.RemoteDisconnected) and not self.repeated:
                    self.repeated = True
                else:
                    self.failed[f"{kind}: {error!r}"] += 1
                continue
            self.answered[kind] += answer.status == 200
            if answer.will_close and self.balanced:
                return
            if kind == "opens" or answer.will_close:
                connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
