"""The API as a process of its own, and clients that count what they are answered."""

import http.client
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from devservers.installation import Installation

IDLE_S = 3.0
KAFKA = "127.0.0.1:1"  # nobody: reads need none


class Api:
    """One process that answers the API alone."""

    def __init__(self, folder: Path, store: str) -> None:
        self.it = Installation(folder, kafka=KAFKA, store=store, serves="api")
        self.it.drain_s, self.it.idle_s = 3, IDLE_S
        self.it.prepare_database()
        self.port = self.it.api_port
        self.client: httpx.Client = self.it.start_api()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        return self.it.processes["api"]

    def lines(self) -> list[dict[str, object]]:
        return self.it.logs("api")


class Asking:
    """Clients in threads: some keep their connection, some open one a request. ``failed`` says how any failed.

    With ``elsewhere`` to go, as behind a load balancer, a client that is told to close its connection does not return.
    """

    def __init__(self, port: int, *, elsewhere: bool = False) -> None:
        self.port, self.elsewhere = port, elsewhere
        self.answered, self.failed = Counter[str](), Counter[str]()
        self.over = threading.Event()

    @contextmanager
    def going_on(self, keeping: int = 4, opening: int = 2) -> Iterator["Asking"]:
        kinds = ["keeps"] * keeping + ["opens"] * opening
        threads = [threading.Thread(target=self._ask, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.over.set()
            for thread in threads:
                thread.join(20)

    def _ask(self, kind: str) -> None:
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
                return  # nobody is there any more
            except (OSError, http.client.HTTPException) as error:
                self.failed[f"{kind}: {error!r}"] += 1
                connection.close()
                continue
            self.answered[kind] += answer.status == 200
            if answer.will_close and self.elsewhere:
                return
            if kind == "opens" or answer.will_close:
                connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
