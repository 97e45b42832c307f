"""Intake, verification and duplicates: the first that is verified proceeds, and nothing tells who exists."""

from datetime import timedelta

import pytest

from featurestore.consent.services import request_key
from featurestore.requests import services
from featurestore.requests.errors import (
    NoReason,
    NotPossible,
    RequestKeyReused,
    UnknownRegime,
    UnknownRequest,
    WrongRequest,
)
from featurestore.requests.models import Contact, RequestEvent, SubjectRequest
from featurestore.requests.services import Intake
from tests.kit.requests import NOON, OLIVIA, SHOP, RequestsEnvironment, day

SECRET = b"a secret of at least 32 characters"


def key(body: bytes = b"body"):
    return request_key("shop", "k", body, SECRET)


def contact_of(customer_id: str = "C1") -> Contact:
    return services.record_contact(customer_id, "email", f"{customer_id}@example.org", SHOP, NOON)


def kinds(request: SubjectRequest) -> list[str]:
    return list(request.events.values_list("kind", flat=True))


def test_attested_request_is_open_at_once(env: RequestsEnvironment) -> None:
    request = env.verified()
    assert (request.state, request.verified_by, request.verified_at) == ("open", "attested", NOON)
    assert [(one.number, one.kind, one.role, one.actor) for one in request.events.all()] == [
        (1, "received", "client", "shop"),
        (2, "verified", "client", "shop"),
    ]


@pytest.mark.parametrize(
    ("type_", "regime", "acknowledge", "due"),
    [
        ("access", "gdpr", None, "2026-12-30T23:00:00+00:00"),
        ("access", "ccpa", "2026-12-15T08:00:00+00:00", "2027-01-15T08:00:00+00:00"),
        ("opt-out", "ccpa", None, "2026-12-22T08:00:00+00:00"),
        ("erasure", "lgpd", None, "2026-12-16T03:00:00+00:00"),
    ],
)
def test_due_dates_are_the_regimes(
    env: RequestsEnvironment, type_: str, regime: str, acknowledge: str | None, due: str
) -> None:
    request = env.receive(type_, regime=regime)
    assert (request.acknowledge_by.isoformat() if request.acknowledge_by else None) == acknowledge
    assert request.due_at.isoformat() == due


def test_a_change_of_the_law_applies_from_its_day_of_receipt(env: RequestsEnvironment) -> None:
    before = env.receive(regime="lgpd", at=day(0))
    rule = before.rule
    rule.pk, rule.effective_from, rule.answer_within = None, day(1).date(), 30
    rule.save()
    assert env.receive(regime="lgpd", at=day(0)).due_at == before.due_at
    assert env.receive(regime="lgpd", at=day(1)).due_at == before.due_at + timedelta(days=16)


def test_request_before_every_rule_or_of_no_regime_is_refused(env: RequestsEnvironment) -> None:
    with pytest.raises(UnknownRegime, match="ccpa, gdpr, lgpd"):
        env.receive(regime="pipl")
    with pytest.raises(UnknownRegime, match="no rule"):
        env.receive(regime="lgpd", at=day(-365 * 20))


@pytest.mark.parametrize(
    "wrong",
    [{"type": "nonsense"}, {"language": "fr"}, {"customer_id": "a\0b"}, {"customer_id": " C1"}, {"details": "\0"},
     {"details": "x" * 4001}, {"purposes": ["service"] * 51}, {"purposes": ["unknown"]},
     {"customer_id": "", "attested": True}],
)  # fmt: skip
def test_wrong_request_is_refused(env: RequestsEnvironment, wrong: dict) -> None:
    with pytest.raises(WrongRequest):
        services.receive(Intake(**{"type": "access", "regime": "gdpr", "channel": "api"} | wrong), SHOP, NOON)
    assert not SubjectRequest.objects.exists()


def test_texts_and_contacts_are_stored_encrypted(env: RequestsEnvironment) -> None:
    contact_of()
    env.receive(details="my lamp is broken")
    assert "example" not in str(Contact.objects.values_list())
    assert "lamp" not in str(SubjectRequest.objects.values_list())


def test_repeat_with_its_key_is_the_same_request(env: RequestsEnvironment) -> None:
    intake = Intake("access", "gdpr", "api", "C1", key=key())
    first, again = services.receive(intake, SHOP, NOON), services.receive(intake, SHOP, day(1))
    assert (again.request, again.repeated) == (first.request, True)
    with pytest.raises(RequestKeyReused):
        services.receive(intake._replace(key=key(b"another")), SHOP, NOON)
    assert SubjectRequest.objects.count() == 1


def test_staff_verify_with_a_reason_and_a_customer(env: RequestsEnvironment) -> None:
    request = env.receive(customer_id="", channel="staff", actor=OLIVIA)
    with pytest.raises(NoReason, match="how the customer was verified"):
        services.verify_by_hand(request.reference, OLIVIA, " ", "C1", NOON)
    with pytest.raises(NoReason, match="customer id"):
        services.verify_by_hand(request.reference, OLIVIA, "by phone", "", NOON)
    found = services.verify_by_hand(request.reference, OLIVIA, "by phone", "C1", NOON)
    assert (found.state, found.customer_id, found.verified_by) == ("open", "C1", "staff")
    with pytest.raises(NotPossible, match="open"):
        services.verify_by_hand(request.reference, OLIVIA, "by phone", "", NOON)
    with pytest.raises(UnknownRequest):
        services.verify_by_hand("R-AAAA-AAAA", OLIVIA, "by phone", "C1", NOON)


def test_first_verified_duplicate_proceeds_whichever_came_first(env: RequestsEnvironment) -> None:
    first, second, third = (env.receive(at=day(n)) for n in range(3))
    services.attest(second.reference, SHOP, day(4))
    states = {one.reference: (one.state, one.duplicate_of) for one in SubjectRequest.objects.all()}
    assert states == {
        second.reference: ("open", None),
        first.reference: ("duplicate", second),
        third.reference: ("duplicate", second),
    }
    fourth = env.verified(at=day(5))
    assert (fourth.state, fourth.duplicate_of, kinds(fourth)) == ("duplicate", second, ["received", "linked"])


def test_no_duplicates_are_other_types_purposes_customers_and_rectifications(env: RequestsEnvironment) -> None:
    requests = [env.verified(), env.verified("erasure"), env.verified(customer_id="C2")]
    requests += [env.verified("opt-out", purposes=[name]) for name in ("service", "analytics")]
    requests += [env.verified("rectification", details=text) for text in ("my name", "my street")]
    assert [one.state for one in requests] == ["open"] * len(requests)


def test_a_new_request_after_an_answered_one_is_no_duplicate(env: RequestsEnvironment) -> None:
    first = env.verified()
    services.answer(first.reference, OLIVIA, "Here it is.", "sent by post", day(1))
    assert env.verified(at=day(2)).state == "open"


def test_verified_duplicate_that_was_due_earlier_brings_the_due_date_forward(env: RequestsEnvironment) -> None:
    early, late = env.receive(at=day(0), regime="ccpa"), env.verified(at=day(10), regime="ccpa")
    early.refresh_from_db()
    assert early.state == "duplicate"
    other = env.receive(at=day(2), regime="ccpa", customer_id="C2")
    proceeding = env.verified(at=day(10), regime="ccpa", customer_id="C2", purposes=["service"])
    SubjectRequest.objects.filter(pk=other.pk).update(duplicate_key=proceeding.duplicate_key, purposes=["service"])
    services.attest(other.reference, SHOP, day(11))
    proceeding.refresh_from_db()
    assert proceeding.due_at == other.due_at == late.due_at - timedelta(days=8)
    extended = services.extend(proceeding.reference, OLIVIA, "many sources", day(12))
    assert extended.due_at == late.due_at - timedelta(days=8) + timedelta(days=45)


def test_withdrawal_lets_a_verified_duplicate_proceed(env: RequestsEnvironment) -> None:
    unverified = env.receive(at=day(0))
    first, second, third = (env.verified(at=day(n)) for n in (1, 2, 3))
    services.withdraw(first.reference, OLIVIA, "by phone", day(4))
    for request in (unverified, second, third):
        request.refresh_from_db()
    assert (second.state, second.duplicate_of, second.ended_at) == ("open", None, None)
    assert (third.state, third.duplicate_of) == ("duplicate", second)
    assert (unverified.state, unverified.duplicate_of) == ("duplicate", second)


def test_unverified_requests_lapse_after_thirty_days(env: RequestsEnvironment) -> None:
    old, new, verified = env.receive(at=day(0)), env.receive("erasure", at=day(2)), env.verified("portability")
    assert services.lapse_unverified(day(31)) == 1
    for request, state in ((old, "lapsed"), (new, "received"), (verified, "open")):
        request.refresh_from_db()
        assert request.state == state


def test_timeline_is_never_changed(env: RequestsEnvironment) -> None:
    event = env.verified().events.get(number=1)
    event.reason = "another"
    for change in (event.save, lambda: RequestEvent.objects.update(reason="another")):
        with pytest.raises(Exception, match="never changed"):
            change()


def test_clock_that_was_set_back_takes_no_time_back(env: RequestsEnvironment) -> None:
    request = env.verified(at=day(5))
    services.wait_for_customer(request.reference, OLIVIA, "which lamp?", day(3))
    found = services.continue_work(request.reference, OLIVIA, now=day(2))
    assert found.due_at == request.due_at
    assert [one.at for one in found.events.all()] == [day(5)] * 4


def test_request_is_not_verified_for_another_customer_than_it_names(env: RequestsEnvironment) -> None:
    request = env.receive(customer_id="C1")
    with pytest.raises(WrongRequest, match="names another customer"):
        services.verify_by_hand(request.reference, OLIVIA, "called back", "C2", NOON)
    request.refresh_from_db()
    assert (request.state, request.customer_id) == ("received", "C1")
