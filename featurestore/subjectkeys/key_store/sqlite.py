"""Key store in a file of SQLite, for processes of one machine. What is deleted is overwritten in the file."""

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from featurestore.subjectkeys.errors import KeyStoreUnavailable
from featurestore.subjectkeys.key_store.protocol import WrappedKey

BUSY_S = 5
TABLE = """
CREATE TABLE IF NOT EXISTS subject_keys (
    subject TEXT PRIMARY KEY, wrapping_key TEXT NOT NULL, wrapped BLOB NOT NULL
) WITHOUT ROWID
"""
COLUMNS = "subject, wrapping_key, wrapped"


class SqliteKeyStore:
    """Keys in a file that only its owner may read. A call opens it: no process keeps anything of it."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def get(self, subject: str) -> WrappedKey | None:
        with self._opened() as opened:
            row = opened.execute(f"SELECT {COLUMNS} FROM subject_keys WHERE subject = ?", (subject,)).fetchone()
        return WrappedKey(*row) if row else None

    def add(self, key: WrappedKey) -> WrappedKey:
        with self._opened() as opened:
            opened.execute(f"INSERT OR IGNORE INTO subject_keys ({COLUMNS}) VALUES (?, ?, ?)", key)
            row = opened.execute(f"SELECT {COLUMNS} FROM subject_keys WHERE subject = ?", (key.subject,)).fetchone()
        return WrappedKey(*row)

    def erase(self, subjects: Collection[str]) -> int:
        with self._opened() as opened:
            erase = "DELETE FROM subject_keys WHERE subject = ?"
            erased = sum(opened.execute(erase, (one,)).rowcount for one in set(subjects))
            opened.commit()
            opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log of writes has deleted rows as well
        return erased

    def count(self, subjects: Collection[str]) -> int:
        with self._opened() as opened:
            find = "SELECT count(*) FROM subject_keys WHERE subject = ?"
            return sum(opened.execute(find, (one,)).fetchone()[0] for one in set(subjects))

    def page(self, after: str, limit: int) -> list[WrappedKey]:
        with self._opened() as opened:
            find = f"SELECT {COLUMNS} FROM subject_keys WHERE subject > ? ORDER BY subject LIMIT ?"
            return [WrappedKey(*row) for row in opened.execute(find, (after, limit))]

    def replace(self, old: WrappedKey, new: WrappedKey) -> bool:
        with self._opened() as opened:
            put = "UPDATE subject_keys SET wrapping_key = ?, wrapped = ? WHERE subject = ? AND wrapped = ?"
            return bool(opened.execute(put, (new.wrapping_key, new.wrapped, old.subject, old.wrapped)).rowcount)

    def counts(self) -> dict[str, int]:
        with self._opened() as opened:
            return dict(opened.execute("SELECT wrapping_key, count(*) FROM subject_keys GROUP BY wrapping_key"))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            with closing(sqlite3.connect(self.path, timeout=BUSY_S)) as opened:
                opened.execute("PRAGMA journal_mode = WAL")
                opened.execute("PRAGMA secure_delete = ON")
                opened.execute("PRAGMA synchronous = FULL")
                opened.execute(TABLE)
                with opened:
                    yield opened
        except (sqlite3.Error, OSError) as error:
            raise KeyStoreUnavailable(f"{self.path.name}: {error}") from error
