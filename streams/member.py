"""Member id of a stream worker in the consumer group: the one that is set, or one that belongs to its data folder.

Copies of a service share their environment, but not their data folders. A worker that finds its folder again, in the
same container or a new one, is the same member and has its tables.
"""

import fcntl
import os
import secrets
from pathlib import Path

FILE = "member"
BYTES = 6


class MemberError(Exception):
    """The data folder gives no member id; the message says what to do."""


def member_id(configured: str, folder: Path) -> str:
    """``configured``, or without one the id in the folder's file, which the first worker writes.

    The file stays locked until the process ends: two workers of one id would fence each other. Raises MemberError if
    another worker uses the folder.
    """
    if configured:
        return configured
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise MemberError(
            f"Another stream worker uses the folder {folder}: give each its own (RAPPORT_STREAM_DATA_DIR)."
        ) from error
    if found := os.pread(descriptor, 100, 0).decode():
        return found
    made = f"worker-{secrets.token_hex(BYTES)}"
    os.pwrite(descriptor, made.encode(), 0)
    os.fsync(descriptor)
    return made
