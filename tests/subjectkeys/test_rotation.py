"""Rotation of the wrapping key: while others read and write, continued after it was killed, with its progress."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from featurestore.subjectkeys import rotation
from featurestore.subjectkeys.key_store import KeyStore
from featurestore.subjectkeys.rotation import rotate
from featurestore.subjectkeys.subject_keys import decrypt_text, encrypt_text
from tests.subjectkeys.conftest import SetKeys
from tests.subjectkeys.test_subject_keys import COLUMN, ONE, TWO

SUBJECTS = ["", *(f"s{number}" for number in range(7))]


@pytest.fixture
def encrypted(store: KeyStore, set_keys: SetKeys, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Texts by subject whose keys the first wrapping key wrapped; the second is the first of the settings now."""
    monkeypatch.setattr(rotation, "PAGE", 3)
    set_keys(ONE)
    texts = {subject: encrypt_text(subject, f"text of {subject}", COLUMN) for subject in SUBJECTS}
    set_keys(f"{TWO},{ONE}")
    return texts


def test_every_key_is_wrapped_again_and_every_text_opens(
    encrypted: dict[str, str], store: KeyStore, set_keys: SetKeys
) -> None:
    progress: list[tuple[int, int]] = []
    assert rotate(lambda done, total: progress.append((done, total))) == len(SUBJECTS)
    assert progress == [(1, 8), (4, 8), (7, 8), (8, 8)]
    assert store.counts() == {"2": len(SUBJECTS)}
    set_keys(TWO)  # the old one is gone
    for subject, text in encrypted.items():
        assert decrypt_text(subject, text, COLUMN) == f"text of {subject}"
    assert rotate() == 0


def test_rotation_that_was_killed_half_way_is_continued(encrypted: dict[str, str], store: KeyStore) -> None:
    def kill(done: int, total: int) -> None:
        if done > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate(kill)
    assert store.counts() == {"1": 4, "2": 4}
    for subject, text in encrypted.items():
        assert decrypt_text(subject, text, COLUMN) == f"text of {subject}"
    assert rotate() == 4
    assert store.counts() == {"2": 8}


def test_key_that_is_erased_meanwhile_does_not_come_back(encrypted: dict[str, str], store: KeyStore) -> None:
    assert rotate(lambda done, _: store.erase(["s5", "s6"]) if done == 4 else None) == 6
    assert store.count(["s5", "s6"]) == 0


def test_key_that_is_made_meanwhile_is_wrapped_by_the_first(encrypted: dict[str, str], store: KeyStore) -> None:
    rotate(lambda done, _: encrypt_text("a new one", "text", COLUMN) and None)
    assert store.counts() == {"2": 9}


def test_command_says_what_it_did_and_which_keys_nobody_can_read(encrypted: dict[str, str], set_keys: SetKeys) -> None:
    def run(action: str) -> str:
        out = StringIO()
        call_command("subject_keys", action, stdout=out, stderr=StringIO())
        return out.getvalue()

    assert run("status") == "1: 8 keys\n"
    set_keys(TWO)
    assert run("status") == "1: 8 keys, which nobody can read\n"
    with pytest.raises(CommandError, match="The wrapping keys lack 1"):
        run("rotate")
    set_keys(f"{TWO},{ONE}")
    assert run("rotate") == "8 keys were wrapped again, by 2.\n2: 8 keys\n"
