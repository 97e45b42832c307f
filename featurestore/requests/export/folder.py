"""Export folder: the files of exports, all of them encrypted. An export has a spool and, once released, a package."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from featurestore.config import settings
from featurestore.requests.export.errors import FolderFull

SPOOL, PACKAGE, UNFINISHED = "spool", "zip", "unfinished"
OWN_FILE = re.compile(rf"([0-9a-f]{{32}})\.({SPOOL}|{PACKAGE}|{UNFINISHED})")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FOR_OWNER = 0o600
FOR_OTHERS = stat.S_IRWXO


def path_of(name: str, kind: str) -> Path:
    return Path(settings().export_dir) / f"{name}.{kind}"


def create(name: str, kind: str) -> BinaryIO:
    """A new file that only this user reads, in place of an earlier one. Raises FolderFull."""
    path = path_of(name, kind)
    path.unlink(missing_ok=True)
    with full_is_told():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FOR_OWNER), "w+b")


def sync(file: BinaryIO) -> None:
    """Have what was written on the disk. Raises FolderFull."""
    with full_is_told():
        file.flush()
        os.fsync(file.fileno())


def cut(name: str, kind: str, length: int) -> None:
    """Free what a file has behind this length, if there is one."""
    path = path_of(name, kind)
    if path.exists():
        os.truncate(path, length)


def finish_package(name: str) -> None:
    """Make an unfinished package the package."""
    os.replace(path_of(name, UNFINISHED), path_of(name, PACKAGE))


def delete(name: str, *kinds: str) -> None:
    """Delete an export's files of these kinds, without any: all."""
    for kind in kinds or (SPOOL, PACKAGE, UNFINISHED):
        path_of(name, kind).unlink(missing_ok=True)


def files() -> Iterator[tuple[str, str]]:
    """Name and kind of every file of an export in the folder. Other files are not ours to delete."""
    folder = Path(settings().export_dir)
    if folder.is_dir():
        for entry in os.scandir(folder):
            if found := OWN_FILE.fullmatch(entry.name):
                yield found[1], found[2]


@contextmanager
def full_is_told() -> Iterator[None]:
    """Turn the errors of a full disk, an exhausted quota and the largest file into FolderFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        said = os.strerror(error.errno or 0)
        raise FolderFull(f"The export folder is full ({said}). Free space on its disk.") from error


def problem(folder: Path) -> str:
    """Why a folder can't hold exports; empty if it can. One that is missing is made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return f"it can't be made ({error.strerror})"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return "this process can't write to it"
    if stat.S_IMODE(folder.stat().st_mode) & FOR_OTHERS:
        return "every user of the machine may enter it"
    return ""
