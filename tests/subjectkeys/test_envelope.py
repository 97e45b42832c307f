"""Envelope of one value: what is encrypted opens at its place alone, and nothing that was altered opens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.subjectkeys.envelope import decrypt, decrypt_bytes, encrypt, encrypt_bytes
from featurestore.subjectkeys.errors import Unreadable

KEY, OTHER = b"k" * 32, b"o" * 32


@given(st.text(), st.text())
def test_encrypted_text_opens_at_its_place(text: str, place: str) -> None:
    encrypted = encrypt(KEY, text, place)
    assert decrypt(KEY, encrypted, place) == text
    assert encrypted.isascii()
    assert not text or len(text) < 4 or text not in encrypted


def test_same_text_is_encrypted_differently_each_time() -> None:
    assert len({encrypt(KEY, "ann@example.org", "p") for _ in range(100)}) == 100


@given(st.binary(min_size=1), st.data())
def test_altered_byte_does_not_open(plain: bytes, data: st.DataObject) -> None:
    encrypted = bytearray(encrypt_bytes(KEY, plain, "p"))
    encrypted[data.draw(st.integers(0, len(encrypted) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Unreadable, match="altered"):
        decrypt_bytes(KEY, bytes(encrypted), "p")


def test_other_key_or_place_does_not_open() -> None:
    encrypted = encrypt(KEY, "text", "contact.address")
    for key, place in ((OTHER, "contact.address"), (KEY, "contact.other")):
        with pytest.raises(Unreadable, match="altered, moved to another subject's row, or encrypted by another key"):
            decrypt(key, encrypted, place)


@pytest.mark.parametrize("encrypted", ["1:", "1:AAAA", "1:!!!!", "1:é", "text", "2:AAAA", "gAAAAABk"])
def test_what_is_no_encrypted_text_is_refused(encrypted: str) -> None:
    with pytest.raises(Unreadable):
        decrypt(KEY, encrypted, "p")


@given(st.text(max_size=80))
def test_any_text_in_its_place_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        decrypt(KEY, text, "p")
