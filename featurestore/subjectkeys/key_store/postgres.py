"""Key store in a PostgreSQL database of its own."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from featurestore.subjectkeys.errors import KeyStoreUnavailable
from featurestore.subjectkeys.key_store.protocol import WrappedKey

CONNECT_S = 5
LOCK = 0x7375626A
TABLE = """
CREATE TABLE IF NOT EXISTS subject_keys (
    subject TEXT COLLATE "C" PRIMARY KEY, wrapping_key TEXT NOT NULL, wrapped BYTEA NOT NULL
)
"""
COLUMNS = "subject, wrapping_key, wrapped"


class PostgresKeyStore:
    """Keys in a table, which the first call makes. A call connects: it is for texts that staff read and write, not for
    reads of features.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._is_made = False

    def get(self, subject: str) -> WrappedKey | None:
        with self._connected() as connected:
            found = connected.execute(f"SELECT {COLUMNS} FROM subject_keys WHERE subject = %s", (subject,)).fetchone()
        return WrappedKey(*found) if found else None

    def add(self, key: WrappedKey) -> WrappedKey:
        with self._connected() as connected:
            add = f"INSERT INTO subject_keys ({COLUMNS}) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
            connected.execute(add, key)
        found = self.get(key.subject)
        return found if found else self.add(key)  # it was erased in between

    def erase(self, subjects: Collection[str]) -> int:
        with self._connected() as connected:
            return connected.execute("DELETE FROM subject_keys WHERE subject = ANY(%s)", (list(subjects),)).rowcount

    def count(self, subjects: Collection[str]) -> int:
        with self._connected() as connected:
            find = "SELECT count(*) FROM subject_keys WHERE subject = ANY(%s)"
            (found,) = connected.execute(find, (list(subjects),)).fetchone() or (0,)
        return int(found)

    def page(self, after: str, limit: int) -> list[WrappedKey]:
        with self._connected() as connected:
            find = f"SELECT {COLUMNS} FROM subject_keys WHERE subject > %s ORDER BY subject LIMIT %s"
            return [WrappedKey(*row) for row in connected.execute(find, (after, limit))]

    def replace(self, old: WrappedKey, new: WrappedKey) -> bool:
        with self._connected() as connected:
            put = "UPDATE subject_keys SET wrapping_key = %s, wrapped = %s WHERE subject = %s AND wrapped = %s"
            return bool(connected.execute(put, (new.wrapping_key, new.wrapped, old.subject, old.wrapped)).rowcount)

    def counts(self) -> dict[str, int]:
        with self._connected() as connected:
            find = "SELECT wrapping_key, count(*) FROM subject_keys GROUP BY wrapping_key"
            return dict(connected.execute(find).fetchall())

    @contextmanager
    def _connected(self) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
        try:
            with psycopg.connect(self.url, connect_timeout=CONNECT_S) as connected:
                if not self._is_made:
                    connected.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))  # two that make it at once
                    connected.execute(TABLE)
                    connected.commit()
                    self._is_made = True
                yield connected
        except psycopg.Error as error:
            first_line, *_ = str(error).splitlines() or [""]
            raise KeyStoreUnavailable(first_line) from error
