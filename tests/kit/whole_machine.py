"""The whole machine, for tests that need most of it: one at a time, in whatever worker of the run."""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_machine() -> Iterator[None]:
    """Wait until no other such test runs; keep others waiting during the block."""
    with Path(tempfile.gettempdir(), "rapport-whole-machine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
