"""Codes: sent to a contact on record, valid for an hour and five attempts, and the clock meanwhile."""

import re
from datetime import timedelta

import pytest
from django.core import mail

from featurestore.requests import services
from featurestore.requests.errors import NotPossible, WrongCode
from featurestore.requests.form_links import CodeLink, InvalidLink, code_url, read_code_link
from featurestore.requests.models import Contact, CustomerMessage, VerificationCode
from featurestore.requests.services import codes, messages
from featurestore.requests.services.codes import MAX_ATTEMPTS, MAX_CODES
from featurestore.requests.services.verification import MAX_CODES_A_DAY
from tests.kit.requests import NOON, OLIVIA, SHOP, RequestsEnvironment, day


def contact_of(customer_id: str = "C1") -> Contact:
    return services.record_contact(customer_id, "email", f"{customer_id}@example.org", SHOP, NOON)


def sent_code(at=NOON) -> str:
    """The code of the e-mail that is sent at a time."""
    services.send_codes(at)
    messages.deliver_due(at)
    (found,) = re.findall(r"^    (\d{8})$", mail.outbox[-1].body, re.MULTILINE)
    return found


def test_code_sent_to_the_contact_on_record_verifies(env: RequestsEnvironment) -> None:
    contact_of()
    request = env.receive()
    code = sent_code()
    assert mail.outbox[0].to == ["C1@example.org"]
    assert code not in str(VerificationCode.objects.values_list())
    assert code not in messages.read_text(CustomerMessage.objects.get()).body
    found = services.confirm_code(request.reference, f" {code[:4]} {code[4:]} ", NOON)
    assert (found.state, found.verified_by) == ("open", "code")
    kinds = [one.kind for one in found.events.all()]
    assert kinds == ["received", "code_requested", "message_sent", "verified"]
    with pytest.raises(WrongCode):
        services.confirm_code(request.reference, code, NOON)


def test_clock_stands_still_while_a_code_is_awaited_where_the_law_allows_it(env: RequestsEnvironment) -> None:
    european, californian = env.receive(), env.receive(regime="ccpa", customer_id="C2")
    contact_of("C1")
    contact_of("C2")
    services.send_codes(day(1))
    later = day(1) + timedelta(minutes=30)
    for request, paused in ((european, timedelta(minutes=30)), (californian, timedelta())):
        found = services.verify_by_hand(request.reference, OLIVIA, "by phone", now=later)
        assert found.due_at == request.due_at + paused


def test_request_without_a_contact_gets_no_code_and_looks_the_same(env: RequestsEnvironment) -> None:
    requests = [env.receive(customer_id=customer_id) for customer_id in ("C1", "stranger")]
    assert services.send_codes(NOON) == 0
    contact_of()
    assert services.send_codes(NOON) == 0, "it was examined"
    for request in requests:
        services.ask_for_code(request.reference, NOON)
    assert services.send_codes(NOON) == 1


def test_codes_to_one_customer_are_few_whoever_asks(env: RequestsEnvironment) -> None:
    """Ten a day, and one a minute for each request."""
    contact_of()
    request = env.receive()
    for _ in range(3):
        services.ask_for_code(request.reference, NOON)
        services.send_codes(NOON)
    assert CustomerMessage.objects.count() == 1
    for _ in range(MAX_CODES_A_DAY + 5):
        env.receive()
    services.send_codes(NOON)
    assert CustomerMessage.objects.count() == MAX_CODES_A_DAY


def test_message_of_a_request_that_was_verified_meanwhile_is_cancelled(env: RequestsEnvironment) -> None:
    contact_of()
    request = env.receive()
    services.send_codes(NOON)
    services.attest(request.reference, SHOP, NOON)
    assert messages.deliver_due(NOON).cancelled == 1
    assert [one.state for one in CustomerMessage.objects.order_by("pk")] == ["cancelled", "sent"]


@pytest.mark.parametrize(
    "change", [lambda t: t[:-5], lambda t: "x" + t, lambda t: "", lambda t: "ä", lambda t: t * 20, lambda t: t[::-1]]
)
def test_link_that_was_not_made_here_or_has_expired_is_refused(env: RequestsEnvironment, change) -> None:
    address = code_url(CodeLink("R-AAAA-AAAA", "de"), day(1), NOON)
    token = address.rpartition("/")[2]
    assert read_code_link(token, NOON) == ("R-AAAA-AAAA", "de")
    for wrong, at in ((change(token), NOON), (token, day(1))):
        with pytest.raises(InvalidLink):
            read_code_link(wrong, at)


@pytest.mark.parametrize("minutes", [59, 60])
def test_code_expires(env: RequestsEnvironment, minutes: int) -> None:
    request = env.receive()
    code = codes.issue(request.reference, contact_of(), NOON)[1]
    at = NOON + timedelta(minutes=minutes)
    if minutes < 60:
        assert services.confirm_code(request.reference, code, at).state == "open"
    else:
        with pytest.raises(WrongCode):
            services.confirm_code(request.reference, code, at)


def test_attempts_are_limited_and_the_right_code_is_refused_after_them(env: RequestsEnvironment) -> None:
    request = env.receive()
    code = codes.issue(request.reference, contact_of(), NOON)[1]
    wrong = f"{(int(code) + 1) % 10**8:08}"
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(WrongCode):
            services.confirm_code(request.reference, wrong, NOON)
    with pytest.raises(WrongCode):
        services.confirm_code(request.reference, code, NOON)
    again = codes.issue(request.reference, contact_of(), NOON)[1]
    assert services.confirm_code(request.reference, again, NOON).state == "open"


def test_codes_of_a_request_are_limited(env: RequestsEnvironment) -> None:
    request = env.receive()
    for _ in range(MAX_CODES):
        codes.issue(request.reference, contact_of(), NOON)
    with pytest.raises(NotPossible, match="by hand"):
        codes.issue(request.reference, contact_of(), NOON)


def test_code_of_one_request_opens_no_other(env: RequestsEnvironment) -> None:
    first, second = env.receive(), env.receive("erasure")
    code = codes.issue(first.reference, contact_of(), NOON)[1]
    codes.issue(second.reference, contact_of(), NOON)
    for reference in (second.reference, "R-AAAA-AAAA"):
        with pytest.raises(WrongCode):
            services.confirm_code(reference, code, NOON)


def test_codes_are_pruned_a_day_after_they_expire(env: RequestsEnvironment) -> None:
    request = env.receive()
    code = codes.issue(request.reference, contact_of(), NOON)[1]
    services.confirm_code(request.reference, code, NOON)
    assert codes.prune(day(1)) == 0
    assert codes.prune(day(1.1)) == 1
