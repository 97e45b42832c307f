"""A clock that is set back: what had expired, and what was made before, does not become valid again."""

from datetime import timedelta

import pytest

from featurestore.requests import services
from featurestore.requests.errors import WrongCode
from featurestore.requests.form_links import CodeLink, FormLink, InvalidLink, code_url, form_url, read_code_link
from featurestore.requests.form_links import read_form_link as read
from featurestore.requests.models import RequestClock
from featurestore.requests.services import codes
from featurestore.requests.set_backs import STEP, TOLERANCE, set_backs
from tests.kit.requests import NOON, SHOP, RequestsEnvironment, day

HOUR = timedelta(hours=1)
LINK = FormLink("gdpr", "en", "C1")


def token(made=NOON, lifetime=HOUR) -> str:
    return form_url(LINK, made + lifetime, made).rpartition("/")[2]


def test_set_backs_are_counted_and_corrections_are_not(env: RequestsEnvironment) -> None:
    assert [set_backs(NOON + n * STEP) for n in range(3)] == [0, 0, 0]
    assert set_backs(NOON + 2 * STEP - TOLERANCE) == 0
    assert set_backs(NOON + STEP - TOLERANCE) == 1
    assert set_backs(NOON + STEP - TOLERANCE) == 1, "time goes on from there"
    assert set_backs(day(9)) == 1
    assert set_backs(NOON) == 2
    assert RequestClock.objects.get().highest_at == NOON


def test_expired_link_is_not_valid_again(env: RequestsEnvironment) -> None:
    old = token()
    assert read(old, NOON) == LINK
    with pytest.raises(InvalidLink):
        read(old, NOON + HOUR)
    set_backs(NOON + HOUR)
    for at in (NOON, NOON + HOUR / 2, NOON - HOUR):
        with pytest.raises(InvalidLink):
            read(old, at)
    assert read(token(), NOON) == LINK, "made since"


def test_link_that_was_made_while_the_clock_was_ahead_ends_with_its_correction(env: RequestsEnvironment) -> None:
    ahead = code_url(CodeLink("R-AAAA-AAAA", "en"), day(31), day(1)).rpartition("/")[2]
    assert read_code_link(ahead, day(1)) == ("R-AAAA-AAAA", "en")
    with pytest.raises(InvalidLink):
        read_code_link(ahead, NOON)
    assert read(token(), NOON + HOUR / 2) == LINK, "links are made and expire as ever"
    with pytest.raises(InvalidLink):
        read(token(), NOON + HOUR)


def test_expired_code_is_not_valid_again_and_a_new_one_is(env: RequestsEnvironment) -> None:
    contact = services.record_contact("C1", "email", "c1@example.org", SHOP, NOON)
    request = env.receive()
    old = codes.issue(request.reference, contact, NOON)[1]
    set_backs(NOON + codes.CODE_LIFETIME)
    with pytest.raises(WrongCode):
        services.confirm_code(request.reference, old, NOON + HOUR / 2)
    made = NOON - HOUR
    expiring = codes.issue(request.reference, contact, made)[1]
    with pytest.raises(WrongCode):
        services.confirm_code(request.reference, expiring, made + codes.CODE_LIFETIME)
    new = codes.issue(request.reference, contact, made + codes.CODE_LIFETIME)[1]
    assert services.confirm_code(request.reference, new, made + codes.CODE_LIFETIME).state == "open"
