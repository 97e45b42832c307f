"""Supervisor of processes: restarts them, as Compose's restart policy or the Procfile's loop does."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

from devservers.installation import Process
from devservers.server import DidNotStart

POLL_S = 0.1
RESTART_S = 1.0

Start = Callable[[], Process]


class SupervisedProcess:
    """A process that is restarted a second after its end, unless it is held.

    ``restart_times_s``: seconds of each restart, of a server until it answered. Signals go to the process group, as at
    the end of a container.
    """

    def __init__(self, name: str, start: Start) -> None:
        self.name, self.restart_times_s = name, list[float]()
        self._start = start
        self._held = threading.Event()
        self._stopped = threading.Event()
        self.process = start()
        self._thread = threading.Thread(target=self._supervise, name=f"supervisor of {name}", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill it, as a crash would; it is restarted."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def hold(self) -> None:
        """Do not restart it until ``release``."""
        self._held.set()

    def kill_and_hold(self) -> None:
        """Kill it, and hold it."""
        self.hold()
        self.kill()

    def release(self) -> None:
        self._held.clear()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Terminate it and wait; it is not restarted."""
        self.stop_supervising()
        self._signal(signal.SIGTERM)
        self.process.wait(timeout=60)

    def stop_supervising(self) -> None:
        """Restart it no more."""
        self._stopped.set()
        self._thread.join()

    def _signal(self, number: signal.Signals) -> None:
        pid = self.process.pid
        with contextlib.suppress(ProcessLookupError):  # it has ended
            if os.getpgid(pid) == pid:
                os.killpg(pid, number)
            else:  # a server in this process's group
                self.process.send_signal(number)

    def _supervise(self) -> None:
        while not self._stopped.wait(POLL_S):
            if not self.running and not self._held.is_set():
                ended_at = time.monotonic()
                self._restart()
                self.restart_times_s.append(time.monotonic() - ended_at)

    def _restart(self) -> None:
        while not self._stopped.wait(RESTART_S) and not self._held.is_set():
            try:
                self.process = self._start()
            except DidNotStart as error:  # remains of the crash, such as a lock, are still there
                print(f"  {self.name} did not start, retrying: {error}", flush=True)
            else:
                return
