"""Going down without a failed request: a process that drains answers on, and asks each client to connect elsewhere.

A server that closes an idle connection races with the next request on it. So who stops a process tells it first, by
SIGNAL: from then on every answer closes its connection, and ``/readyz`` says no. A little later nobody is connected.
"""

import signal
import threading
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

SIGNAL = signal.SIGUSR1


class Drain:
    """Whether this process is on its way down."""

    begun = False

    def listen(self) -> None:
        """Begin when the signal comes; only a main thread hears of signals, and ``runserver`` has none to spare."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(SIGNAL, lambda *_: self.begin())

    def begin(self) -> None:
        self.begun = True


drain = Drain()


def draining(application: WSGIApplication) -> WSGIApplication:
    """The application, whose answers close their connections once the process drains."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not drain.begun:
            return application(environ, start_response)

        def closing(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, [*headers, ("Connection", "close")], *error)

        return application(environ, closing)

    return answer
