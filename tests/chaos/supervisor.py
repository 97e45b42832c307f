"""What keeps processes running, as Compose's restart policy or the Procfile's loop does."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable

from devservers.server import DidNotStart

POLL_S = 0.05
RESTART_S = 1.0

Start = Callable[[], "subprocess.Popen[bytes]"]


class Supervised:
    """A process that is started again a second after its end, unless it is held.

    ``back_s``: how long that took each time, for a server until it answered. A signal goes to its whole group, as the
    end of a container does.
    """

    def __init__(self, name: str, start: Start) -> None:
        self.name, self.back_s = name, list[float]()
        self._start = start
        self._held = threading.Event()
        self._over = threading.Event()
        self.process = start()
        self._thread = threading.Thread(target=self._keep, name=f"supervisor of {name}", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End it as a crash would; it comes back by itself."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def kill_and_hold(self) -> None:
        """End it; it stays away until ``release``."""
        self._held.set()
        self.kill()

    def release(self) -> None:
        self._held.clear()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Ask it to end, wait, and let it be."""
        self.abandon()
        self._signal(signal.SIGTERM)
        self.process.wait(timeout=60)

    def abandon(self) -> None:
        """Start it no more."""
        self._over.set()
        self._thread.join()

    def _signal(self, number: signal.Signals) -> None:
        pid = self.process.pid
        with contextlib.suppress(ProcessLookupError):  # it ended by itself a moment ago
            if os.getpgid(pid) == pid:
                os.killpg(pid, number)
            else:  # a server in our own group
                self.process.send_signal(number)

    def _keep(self) -> None:
        while not self._over.wait(POLL_S):
            if not self.running and not self._held.is_set():
                ended = time.monotonic()
                self._again()
                self.back_s.append(time.monotonic() - ended)

    def _again(self) -> None:
        while not self._over.wait(RESTART_S) and not self._held.is_set():
            try:
                self.process = self._start()
            except DidNotStart as error:  # what the crash left is not cleared away yet
                print(f"  {self.name} did not start, trying again: {error}", flush=True)
            else:
                return
