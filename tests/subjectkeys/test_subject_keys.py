"""Texts of subjects: opened by the subject's key alone, at their column, until the key is erased."""

import pytest

from featurestore.subjectkeys.errors import Unreadable, WrappingKeyUnusable
from featurestore.subjectkeys.key_store import KeyStore
from featurestore.subjectkeys.subject_keys import decrypt_text, encrypt_text
from tests.subjectkeys.conftest import SetKeys

COLUMN = "contact.address"
ONE, TWO = "1:the-first-wrapping-key", "2:the-second-wrapping-key"


def test_text_opens_for_its_subject_and_column_alone(store: KeyStore) -> None:
    encrypted = encrypt_text("ann", "ann@example.org", COLUMN)
    encrypt_text("bob", "bob@example.org", COLUMN)
    assert decrypt_text("ann", encrypted, COLUMN) == "ann@example.org"
    for subject, column in (("bob", COLUMN), ("ann", "contact.name")):
        with pytest.raises(Unreadable, match="moved to another subject's row"):
            decrypt_text(subject, encrypted, column)


def test_empty_text_stays_empty_and_makes_no_key(store: KeyStore) -> None:
    assert encrypt_text("ann", "", COLUMN) == decrypt_text("ann", "", COLUMN) == ""
    assert store.counts() == {}


def test_erased_key_opens_nothing_and_a_new_one_opens_only_what_is_new(store: KeyStore) -> None:
    old = encrypt_text("ann", "before", COLUMN)
    store.erase(["ann"])
    with pytest.raises(Unreadable, match="an erasure deleted it"):
        decrypt_text("ann", old, COLUMN)
    new = encrypt_text("ann", "after", COLUMN)
    assert decrypt_text("ann", new, COLUMN) == "after"
    with pytest.raises(Unreadable, match="another key"):
        decrypt_text("ann", old, COLUMN)


def test_wrapping_key_that_is_missing_is_named(store: KeyStore, set_keys: SetKeys) -> None:
    set_keys(ONE)
    encrypted = encrypt_text("ann", "text", COLUMN)
    set_keys(TWO)
    for refused in (lambda: decrypt_text("ann", encrypted, COLUMN), lambda: encrypt_text("ann", "text", COLUMN)):
        with pytest.raises(WrappingKeyUnusable, match="The wrapping keys lack 1"):
            refused()
    set_keys(f"{TWO},{ONE}")
    assert decrypt_text("ann", encrypted, COLUMN) == "text"


def test_wrapping_key_with_the_same_id_and_another_text_opens_nothing(store: KeyStore, set_keys: SetKeys) -> None:
    set_keys(ONE)
    encrypted = encrypt_text("ann", "text", COLUMN)
    set_keys("1:another-text-under-the-same-id")
    with pytest.raises(Unreadable, match="another key"):
        decrypt_text("ann", encrypted, COLUMN)


def test_key_that_was_put_in_place_of_another_subjects_opens_nothing(store: KeyStore) -> None:
    encrypted = encrypt_text("ann", "text", COLUMN)
    moved = store.get("ann")
    assert moved is not None
    store.add(moved._replace(subject="bob"))
    with pytest.raises(Unreadable):
        decrypt_text("bob", encrypted, COLUMN)


@pytest.mark.parametrize("keys", ["1:a,1:b", "one", "1:", ""])
def test_list_of_wrapping_keys_that_is_malformed_is_refused(
    store: KeyStore, set_keys: SetKeys, keys: str, tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{tmp_path}/keys"
    with open(path, "w", encoding="utf-8") as file:
        file.write(keys)
    monkeypatch.setenv("RAPPORT_WRAPPING_KEY_PROVIDER", f"file:{path}")
    set_keys(ONE)
    with pytest.raises(WrappingKeyUnusable, match="The wrapping keys from file:"):
        encrypt_text("ann", "text", COLUMN)


def test_wrapping_keys_are_read_from_a_file(
    store: KeyStore, set_keys: SetKeys, tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPPORT_WRAPPING_KEY_PROVIDER", f"file:{tmp_path}/keys")
    set_keys(ONE)
    with pytest.raises(WrappingKeyUnusable, match="can't be read from their file"):
        encrypt_text("ann", "text", COLUMN)
    with open(f"{tmp_path}/keys", "w", encoding="utf-8") as file:
        file.write(TWO + "\n")
    encrypt_text("ann", "text", COLUMN)
    assert store.counts() == {"2": 1}
