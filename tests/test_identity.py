"""Identifiers: which are taken, and that a schema's pattern and the check agree."""

import re
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from featurestore.identity import PATTERN, IdentifierError, check_identifier, hash_identifier, subject_of
from tests.kit.identifiers import LOOKALIKES

SECRET = b"secret"


@pytest.mark.parametrize("identifier", LOOKALIKES, ids=ascii)
def test_identifier_that_looks_like_another_is_refused(identifier: str) -> None:
    with pytest.raises(IdentifierError) as refused:
        subject_of(identifier, SECRET)
    assert LOOKALIKES[identifier] in str(refused.value)
    assert "C1" not in str(refused.value)


@pytest.mark.parametrize(
    "identifier", ["C1", "Ann Lee", "Zoë", "a\u00a0b", "می\u200cخواهم", "❤️", "日本", "x" * 256, "-", "!"]
)
def test_identifier_may_hold_white_space_and_joiners_within(identifier: str) -> None:
    check_identifier(identifier)
    assert subject_of(identifier, SECRET) == hash_identifier(identifier, SECRET)


@pytest.mark.parametrize("code_point", [c for c in range(sys.maxunicode) if chr(c).isspace()], ids=hex)
def test_no_white_space_of_python_may_end_an_identifier(code_point: int) -> None:
    with pytest.raises(IdentifierError):
        check_identifier(f"C1{chr(code_point)}")


@given(st.text(min_size=1, max_size=256))
@example("a\n")
@example("\u2000")
@example("\U000e0020")
def test_pattern_and_check_agree_on_normalised_text(text: str) -> None:
    normalised = unicodedata.normalize("NFC", text)[:256]
    if not unicodedata.is_normalized("NFC", normalised):
        return
    try:
        check_identifier(normalised)
    except IdentifierError:
        assert not re.fullmatch(PATTERN.rstrip("$"), normalised)
    else:
        assert re.fullmatch(PATTERN.rstrip("$"), normalised)


@given(st.text(min_size=1, max_size=5))
def test_two_identifiers_that_are_taken_differ_once_normalised_and_stripped(text: str) -> None:
    try:
        check_identifier(text)
    except IdentifierError:
        return
    assert text.strip() == text == unicodedata.normalize("NFC", text)
