"""Clock of one process, which can be set wrong while the process runs. Needs libfaketime.

The library is preloaded, and reads the clock's error from a file. Time that is measured, as of time-outs, is not
changed: only the time of day is.
"""

from functools import cache
from pathlib import Path

LIBRARY = "faketime/libfaketimeMT.so.1"
FOLDERS = (Path("/usr/lib"), Path("/usr/local/lib"))
START = Path(__file__).with_name("with_wrong_clock")
CACHED_S = 1
REREAD_S = 2
"""Within which a change of the file is noticed: seconds are compared, without their fractions."""


@cache
def library() -> Path | None:
    return next((path for folder in FOLDERS for path in (*folder.glob(LIBRARY), *folder.glob(f"*/{LIBRARY}"))), None)


def missing_library() -> str | None:
    """A text that says that libfaketime is missing; None if it is installed."""
    return None if library() else "libfaketime is not installed (Debian: apt-get install faketime)"


class ProcessClock:
    """Clock of the process that is started with ``variables`` in its environment."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.set_right()

    @property
    def variables(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": str(CACHED_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # it would let threads wait too long for the interpreter
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": str(START),
        }

    def set_wrong(self, error_s: int) -> None:
        """Let it be ahead by so many seconds, or behind by a negative number, within REREAD_S."""
        self.file.write_text(f"{error_s:+d}\n", encoding="utf-8")

    def set_right(self) -> None:
        self.set_wrong(0)
