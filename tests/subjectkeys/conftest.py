"""A key store of its own for each test, in a file or in PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from featurestore.config import settings
from featurestore.subjectkeys.key_store import KeyStore, key_store

SetKeys = Callable[[str], None]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyStore]:
    """The key store of the settings, empty."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'folder' / 'keys.sqlite3'}"
    else:
        server = request.getfixturevalue("postgres_server")
        name = f"keys_{uuid4().hex[:12]}"
        with psycopg.connect(server.url, autocommit=True) as connected:
            connected.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        url = server.url_of(name)
    monkeypatch.setenv("RAPPORT_KEY_STORE_URL", url)
    settings.cache_clear()
    yield key_store()
    settings.cache_clear()


@pytest.fixture
def set_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetKeys]:
    """Sets the wrapping keys, as ``ID:KEY,ID:KEY``."""

    def set_to(keys: str) -> None:
        monkeypatch.setenv("RAPPORT_WRAPPING_KEYS", keys)
        settings.cache_clear()

    yield set_to
    settings.cache_clear()
