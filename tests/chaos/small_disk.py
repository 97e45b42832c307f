"""Disk of a server that can be full: a tmpfs that is made as small as what it holds. Needs the right to mount."""

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

MOUNT = "mount -t tmpfs"
ROOMY_BYTES = 4 * 2**30
"""Its usual size. Memory is taken by what is written alone."""
SPARE_PAGES = 100
"""A server that writes all the time may be left so many pages."""


@cache
def missing_right_to_mount() -> str | None:
    """A text that says why no tmpfs can be mounted; None if one can."""
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run([*MOUNT.split(), "none", folder], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            subprocess.run(["umount", folder], check=True)
            return None
    return f"no tmpfs can be mounted (needs root with CAP_SYS_ADMIN): {tried.stderr.strip()}"


class SmallDisk:
    """A disk of its own, mounted at ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self) -> None:
        self.folder.mkdir(parents=True)
        self._mount(f"size={ROOMY_BYTES},mode=0700", f"chaos-{os.getpid()}")

    def fill(self) -> None:
        """Leave no free page: every write that needs one fails with ENOSPC."""
        for spare in range(SPARE_PAGES):
            found = os.statvfs(self.folder)
            used = found.f_blocks - found.f_bfree + spare
            try:
                self._mount(f"remount,size={used * found.f_frsize}")
            except subprocess.CalledProcessError:  # more was written meanwhile
                continue
            return
        raise AssertionError(f"the disk of {self.folder} could not be filled")

    def free(self) -> None:
        self._mount(f"remount,size={ROOMY_BYTES}")

    def unmount(self) -> None:
        """Unmount it; what it holds is gone. Files that are still open do not prevent it."""
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    def _mount(self, options: str, *source: str) -> None:
        subprocess.run([*MOUNT.split(), "-o", options, *source, self.folder], check=True, capture_output=True)
