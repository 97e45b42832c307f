"""Folders of RocksDB tables, one a partition: deleted when nobody uses them, or when they are too old to continue with.

A table continues at the changelog offset that it holds. Compaction removes what was deleted from the changelog, and in
the end the tombstone, too: a table that has not read it by then would bring the deleted state back.
"""

import shutil
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class UnusedFolders:
    """Folders that no table of this worker has open: of partitions that it has lost, of earlier generations and of
    removed sources. Nothing is purged in them.
    """

    def __init__(self, tables: Iterable[Any], folder: Callable[[], Path]) -> None:
        self._tables, self._folder = list(tables), folder
        self._unused = set[Path]()

    def delete(self) -> list[Path]:
        """Delete those that were unused at the last call, too: a partition may return at once. It awaits nothing, so
        that none is opened meanwhile. What can't be deleted is tried again at the next call.
        """
        opened = {path for table in self._tables for path in table.contents.open_folders()}
        unused = set(self._folder().glob("*.db")) - opened
        deleted = [path for path in sorted(unused & self._unused) if _deleted(path)]
        self._unused = unused - {*deleted}
        return deleted


def _deleted(folder: Path) -> bool:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        log.warning("folder of an unused table is not deleted: what is purged stays in it", folder=folder.name,
                    error=str(error))  # fmt: skip
        return False
    log.info("folder of an unused table deleted", folder=folder.name)
    return True


def delete_outdated(folder: Path, usable_for: timedelta, now_s: Callable[[], float] = time.time) -> bool:
    """Delete a folder that was written longer ago; whether it was. Its table is then restored from the beginning."""
    written_s = max((path.stat().st_mtime for path in folder.glob("*")), default=None)
    if written_s is None or now_s() - written_s <= usable_for.total_seconds():
        return False
    shutil.rmtree(folder)
    log.warning("folder of a table is too old to continue with: deleted", folder=folder.name)
    return True
