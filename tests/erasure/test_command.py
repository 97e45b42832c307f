"""The command ``erasures``: starts one, and shows how far each is."""

import io

import pytest
from django.core.management import CommandError, call_command

from tests.kit.erasures import UNAVAILABLE, ErasureEnvironment

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

YEARS_LATER = 86_400 * 3650
"""The command takes the database's time, which is later than the tests'."""


def output(*arguments: str) -> str:
    out = io.StringIO()
    call_command("erasures", *arguments, stdout=out)
    return out.getvalue()


def test_erasure_is_started_shown_and_listed(erasures: ErasureEnvironment) -> None:
    reference = erasures.request().reference
    assert "Location events: Pending" in output("start", reference, "--by", "olivia")
    erasures.places["store"].error = UNAVAILABLE
    erasures.walk_to_answer(YEARS_LATER)
    shown = output("show", reference)
    assert "Location events: Erased and checked" in shown
    assert "the store does not answer: is it running?" in shown
    assert "ann" not in shown
    assert reference in output("list")
    erasures.places["store"].error = None
    erasures.walk(YEARS_LATER + 1000)
    assert (output("list"), reference in output("list", "--all")) == ("", True)


def test_what_cannot_be_started_or_shown_is_told(erasures: ErasureEnvironment) -> None:
    reference = erasures.request().reference
    with pytest.raises(CommandError, match="No erasure was started"):
        output("show", reference)
    output("start", reference)
    with pytest.raises(CommandError, match="started before"):
        output("start", reference)
