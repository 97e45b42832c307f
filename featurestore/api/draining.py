"""Draining: the last seconds of a process, in which it still answers, and has each client connect to another process.

A server that closes an idle connection races with the next request on it. So the server's main process sends an API
worker SIGNAL before it stops it: from then on every answer closes its connection, and ``/readyz`` answers 503. Soon no
client is connected, and no request fails.
"""

import signal
import threading
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

SIGNAL = getattr(signal, "SIGUSR1", signal.SIGTERM)  # Windows has no other, and `manage.py check` says more


class DrainState:
    """Whether this process drains."""

    draining = False

    def start_on_signal(self) -> None:
        """Drain from SIGNAL on. Python handles signals in main threads only; ``runserver`` serves in another."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(SIGNAL, lambda *_: self.start())

    def start(self) -> None:
        self.draining = True


drain_state = DrainState()


def close_while_draining(application: WSGIApplication) -> WSGIApplication:
    """The application, whose answers close their connections while the process drains."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not drain_state.draining:
            return application(environ, start_response)

        def start_closing(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, [*headers, ("Connection", "close")], *error)

        return application(environ, start_closing)

    return answer
