"""Contract of both key stores: one key a subject, whoever comes first; erased for good; replaced if it is the same."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from featurestore.subjectkeys.errors import KeyStoreUnavailable
from featurestore.subjectkeys.key_store import KeyStore, WrappedKey
from featurestore.subjectkeys.key_store.postgres import PostgresKeyStore
from featurestore.subjectkeys.key_store.sqlite import SqliteKeyStore

ANN = WrappedKey("ann", "1", b"\x00\xff wrapped")


def test_first_key_of_a_subject_stays(store: KeyStore) -> None:
    assert store.get("ann") is None
    assert store.add(ANN) == ANN
    assert store.add(ANN._replace(wrapped=b"another")) == ANN
    assert store.get("ann") == ANN


def test_of_many_at_once_one_key_stays(store: KeyStore) -> None:
    keys = [ANN._replace(wrapped=bytes([number])) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        kept = set(pool.map(store.add, keys))
    assert len(kept) == 1
    assert store.get("ann") in kept


def test_erased_keys_are_gone_and_others_stay(store: KeyStore) -> None:
    for name in ("ann", "bob", "eve"):
        store.add(ANN._replace(subject=name))
    assert store.count(["ann", "bob", "nobody"]) == 2
    assert store.erase(["ann", "bob", "nobody"]) == 2
    assert store.erase(["ann", "bob"]) == 0
    assert store.count(["ann", "bob", "eve"]) == 1
    assert store.erase([]) == 0


def test_pages_give_every_key_once_in_order(store: KeyStore) -> None:
    names = sorted({f"{number:x}" for number in range(23)})
    for name in names:
        store.add(ANN._replace(subject=name))
    found: list[str] = []
    while page := store.page(found[-1] if found else "", 5):
        found += [one.subject for one in page]
    assert found == names


def test_key_is_replaced_only_if_it_is_still_there(store: KeyStore) -> None:
    store.add(ANN)
    new = ANN._replace(wrapping_key="2", wrapped=b"new")
    assert store.replace(ANN, new)
    assert not store.replace(ANN, new._replace(wrapped=b"newer"))
    assert store.get("ann") == new
    assert store.counts() == {"2": 1}
    store.erase(["ann"])
    assert not store.replace(new, ANN)
    assert store.counts() == {}


def test_deleted_key_is_in_no_byte_of_the_file(tmp_path: Path) -> None:
    store, marked = SqliteKeyStore(str(tmp_path / "keys.sqlite3")), b"MARKED-KEY-" + os.urandom(40)
    store.add(ANN._replace(wrapped=marked))
    store.add(ANN._replace(subject="bob"))
    assert any(marked in file.read_bytes() for file in tmp_path.iterdir())
    store.erase(["ann"])
    assert not any(marked in file.read_bytes() for file in tmp_path.iterdir())


def test_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite3"
    SqliteKeyStore(str(path)).add(ANN)
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "opened",
    [
        lambda: SqliteKeyStore("/proc/none/keys.sqlite3"),
        lambda: PostgresKeyStore("postgresql://nobody@127.0.0.1:1/keys"),
    ],
)
def test_store_that_does_not_answer_is_an_error_of_its_own(opened: Callable[[], KeyStore]) -> None:
    with pytest.raises(KeyStoreUnavailable):
        opened().get("ann")


def test_file_that_is_no_database_is_an_error_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite3"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(KeyStoreUnavailable, match="not a database"):
        SqliteKeyStore(str(path)).add(ANN)
    assert path.read_bytes().startswith(b"no database"), "nothing is lost"
