"""Password checks of one web process: one at a time, a few waiting, the others refused."""

import os
import subprocess
import sys
import threading
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path

import structlog
from prometheus_client import Counter

from featurestore.logins.errors import PasswordChecksBusy

PROGRAM = Path(__file__).with_name("password_process.py")
MAX_WAITING = 8
WAIT_S, ANSWER_S = 5.0, 20.0  # a check takes 0.3 s of a free processor, and longer while reads need it
REFUSED = Counter("rapport_password_checks_refused", "Password checks refused because too many waited.")
BUSY = "Too many people log in at this moment. Try again in a few seconds."
log = structlog.get_logger(__name__)


class PasswordChecks:
    """Computation of password hashes. Safe to share among threads."""

    def __init__(self, max_waiting: int = MAX_WAITING, wait_s: float = WAIT_S, answer_s: float = ANSWER_S):
        self._places, self._turn = threading.BoundedSemaphore(1 + max_waiting), threading.Lock()
        self._wait_s, self._answer_s = wait_s, answer_s
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def derive(self, password: bytes, salt: bytes, iterations: int, digest: str) -> bytes:
        """PBKDF2's key. Raises PasswordChecksBusy."""
        if not self._places.acquire(blocking=False):
            raise self._refusal()
        try:
            if not self._turn.acquire(timeout=self._wait_s):
                raise self._refusal()
            try:
                return self._ask(f"{digest} {iterations} {password.hex()} {salt.hex()}\n".encode())
            finally:
                self._turn.release()
        finally:
            self._places.release()

    def _refusal(self) -> PasswordChecksBusy:
        REFUSED.inc()
        log.warning("password check refused", reason="too many wait")
        return PasswordChecksBusy(BUSY)

    def _ask(self, line: bytes) -> bytes:
        """The process's answer. One that was killed is replaced once."""
        for _ in range(2):
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(line)
                process.stdin.flush()
                if wait([process.stdout.fileno()], self._answer_s) and (text := process.stdout.readline()):
                    return bytes.fromhex(text.decode())
            except BrokenPipeError:
                log.warning("password process ended", returncode=process.poll())
            self.close()
        raise self._refusal()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid():  # a fork shares no pipe with its parent
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._process

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@cache
def password_checks() -> PasswordChecks:
    """The password checks of this process."""
    return PasswordChecks()
