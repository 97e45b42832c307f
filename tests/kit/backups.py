"""Backup of a SQLite database of the test's own, and its restore beneath running processes."""

import sqlite3
from contextlib import closing
from pathlib import Path

from django.db import connections


def back_up(backup: Path) -> None:
    """Copy the default database as it is now."""
    with closing(sqlite3.connect(_path())) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)


def restore(backup: Path) -> None:
    """Make the default database what it was: every commit since the backup is lost."""
    connections["default"].close()
    with closing(sqlite3.connect(backup)) as copy, closing(sqlite3.connect(_path(), timeout=20)) as target:
        copy.backup(target)


def _path() -> Path:
    return Path(str(connections["default"].settings_dict["NAME"]))
