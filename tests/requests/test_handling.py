"""Handling: the clock, extension, refusal with its ground, and answers that are carried out in one transaction."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User

from featurestore.clock import milliseconds
from featurestore.config import settings
from featurestore.consent.models import ConsentRecord
from featurestore.customers.selectors import subject_of_customer
from featurestore.permission import Denial, PurposePermission
from featurestore.requests import services
from featurestore.requests.errors import NoReason, NotExtendable, NotPossible, SecondPersonNeeded, WrongRequest
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services import handling
from featurestore.serving.guard import decide_access
from tests.kit.requests import ANTON, NOON, OLIVIA, RequestsEnvironment, day

HOUR = timedelta(hours=1)


def permission(env: RequestsEnvironment, purpose: str) -> PurposePermission | Denial:
    reading = env.store.read([subject_of_customer("C1")], [], [], 1000)
    return decide_access(reading.subjects[0].permission, purpose, vouched=reading.vouched, now_ms=milliseconds(day(9)))


def test_paused_clock_runs_on_exactly_and_is_not_overdue_meanwhile(env: RequestsEnvironment) -> None:
    request = env.verified()
    waiting = services.wait_for_customer(request.reference, OLIVIA, "which lamp?", day(10))
    left = request.due_at - day(10)
    assert services.remaining(waiting, day(90)) == left
    found = services.continue_work(request.reference, OLIVIA, "the blue one", day(17) + 5 * HOUR)
    assert (found.state, found.paused_at) == ("in_progress", None)
    assert found.due_at == request.due_at + timedelta(days=7) + 5 * HOUR
    assert services.remaining(found, day(17) + 5 * HOUR) == left


def test_regime_without_pauses_waits_and_the_clock_runs_on(env: RequestsEnvironment) -> None:
    request = env.verified(regime="ccpa")
    assert services.wait_for_customer(request.reference, OLIVIA, "which lamp?", day(10)).paused_at is None
    assert services.continue_work(request.reference, OLIVIA, now=day(20)).due_at == request.due_at


def test_extension_once_with_a_reason_before_the_due_date(env: RequestsEnvironment) -> None:
    request = env.verified()
    with pytest.raises(NoReason):
        services.extend(request.reference, OLIVIA, "", day(1))
    extended = services.extend(request.reference, OLIVIA, "many sources", request.due_at - HOUR)
    assert extended.due_at.isoformat() == "2027-03-01T23:00:00+00:00"  # 28 February is a Sunday
    with pytest.raises(NotExtendable, match="before"):
        services.extend(request.reference, OLIVIA, "more", day(40))
    late = env.verified("erasure")
    with pytest.raises(NotExtendable, match="overdue"):
        services.extend(late.reference, OLIVIA, "many sources", late.due_at)
    with pytest.raises(NotExtendable, match="no extension"):
        services.extend(env.verified("portability", regime="lgpd").reference, OLIVIA, "many sources", day(1))


def test_extension_and_pause_add_up(env: RequestsEnvironment) -> None:
    request = env.verified(regime="gdpr")
    services.wait_for_customer(request.reference, OLIVIA, "which lamp?", day(1))
    services.extend(request.reference, OLIVIA, "many sources", day(40))
    found = services.continue_work(request.reference, OLIVIA, now=day(41))
    assert found.due_at.isoformat() == "2027-04-12T22:00:00+00:00"  # 28 February and 40 days are a Saturday


def test_assignment_is_begun_work_and_may_be_taken_back(env: RequestsEnvironment) -> None:
    olivia = User.objects.create_user("olivia", is_staff=True)
    request = env.verified()
    found = services.assign(request.reference, olivia, ANTON, now=day(1))
    assert (found.state, found.assignee) == ("in_progress", olivia)
    assert services.assign(request.reference, None, ANTON, now=day(2)).assignee is None
    with pytest.raises(WrongRequest, match="staff"):
        services.assign(request.reference, User.objects.create_user("customer"), ANTON)


def test_refusal_names_its_ground_and_reason(env: RequestsEnvironment) -> None:
    request = env.verified()
    for ground, reason in (("", "why"), ("nonsense", "why"), ("unfounded", " ")):
        with pytest.raises(NoReason):
            services.refuse(request.reference, OLIVIA, ground, reason, day(1))
    refused = services.refuse(request.reference, OLIVIA, "unfounded", "the tenth this week", day(1))
    event = refused.events.get(kind="refused")
    assert (refused.state, refused.ground, event.reason) == ("refused", "unfounded", "the tenth this week")
    assert event.detail == {"ground": "unfounded"}
    with pytest.raises(NotPossible):
        services.answer(request.reference, OLIVIA, "text", "done", day(2))


def test_refusal_by_two_persons(env: RequestsEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    two = settings().model_copy(update={"refusals_need_approval": True})
    monkeypatch.setattr(handling, "settings", lambda: two)
    request = env.verified()
    proposed = services.refuse(request.reference, OLIVIA, "excessive", "the tenth", day(1))
    assert proposed.state == "to_approve"
    with pytest.raises(SecondPersonNeeded, match="another person"):
        services.approve_refusal(request.reference, OLIVIA, now=day(2))
    returned = services.return_refusal(request.reference, ANTON, "it is the first", day(2))
    assert (returned.state, returned.ground) == ("in_progress", "")
    with pytest.raises(NotPossible):
        services.approve_refusal(request.reference, ANTON, now=day(2))
    services.refuse(request.reference, OLIVIA, "excessive", "it is the tenth, see file", day(3))
    refused = services.approve_refusal(request.reference, ANTON, now=day(4))
    event = refused.events.get(kind="refused")
    assert (refused.state, event.actor, event.reason) == ("refused", "anton", "it is the tenth, see file")
    unverified = env.receive("erasure")
    assert services.refuse(unverified.reference, OLIVIA, "not_identified", "no answer", day(40)).state == "refused"


def test_answered_request_is_closed(env: RequestsEnvironment) -> None:
    request = env.verified()
    with pytest.raises(NoReason):
        services.answer(request.reference, OLIVIA, "", "sent by post", day(1))
    with pytest.raises(NotPossible):
        services.close(request.reference, OLIVIA, now=day(1))
    answered = services.answer(request.reference, OLIVIA, "Here it is.", "sent by post", day(1))
    assert (answered.request.state, answered.decisions) == ("answered", [])
    stored = SubjectRequest.objects.values_list("answer", flat=True).get()
    assert stored.startswith("1:")
    assert answered.request.answer == "Here it is."
    closed = services.close(request.reference, OLIVIA, now=day(2))
    assert (closed.state, closed.ended_at) == ("closed", day(2))


def test_restriction_pauses_every_purpose(env: RequestsEnvironment) -> None:
    env.give(day(-10))
    request = env.verified("restriction")
    assert services.effect_of(request) == services.Effect("paused", ["analytics", "delivery", "service"])
    answered = services.answer(request.reference, OLIVIA, "It is restricted.", "paused", day(1))
    assert answered.effective
    assert {permission(env, name) for name in ("service", "analytics", "delivery")} == {Denial.PAUSED}
    records = answered.request.events.get(kind="answered").detail["consent_records"]
    assert [ConsentRecord.objects.get(sequence=one).decision for one in records] == ["paused"] * 3


def test_objection_ends_legitimate_interests_alone(env: RequestsEnvironment) -> None:
    env.give(day(-10))
    request = env.verified("objection")
    assert services.effect_of(request).purposes == ["analytics"]
    services.answer(request.reference, OLIVIA, "We stopped.", "objection recorded", day(1))
    assert permission(env, "analytics") is Denial.REFUSED
    assert isinstance(permission(env, "service"), PurposePermission)


def test_opt_out_ends_the_named_purposes(env: RequestsEnvironment) -> None:
    env.give(day(-10))
    request = env.verified("opt-out", regime="ccpa", purposes=["service"])
    services.answer(request.reference, OLIVIA, "You are out.", "opt-out recorded", day(1))
    assert permission(env, "service") is Denial.REFUSED
    assert isinstance(permission(env, "analytics"), PurposePermission)
    record = ConsentRecord.objects.get(decision="withdrawn")
    assert (record.actor, record.decided_at, record.reason) == ("olivia", NOON, f"request {request.reference}")


def test_consent_given_after_the_opt_out_stands(env: RequestsEnvironment) -> None:
    env.give(day(-10))
    request = env.verified("opt-out", purposes=["service"])
    env.give(day(1))
    answered = services.answer(request.reference, OLIVIA, "You are out.", "opt-out recorded", day(2))
    assert [one.superseded for one in answered.decisions] == [True]
    assert isinstance(permission(env, "service"), PurposePermission)


def test_customer_who_is_not_registered_has_nothing_to_restrict(env: RequestsEnvironment) -> None:
    request = env.verified("restriction", customer_id="nobody")
    assert "not registered" in services.effect_of(request).obstacle
    answered = services.answer(request.reference, OLIVIA, "We have nothing of you.", "nothing to do", day(1))
    assert (answered.request.state, answered.decisions) == ("answered", [])


def test_answer_and_decisions_are_one_transaction(env: RequestsEnvironment) -> None:
    env.give(day(-10))
    request = env.verified("restriction")
    with patch("featurestore.subjectkeys.fields.encrypt_text", side_effect=RuntimeError), pytest.raises(RuntimeError):
        services.answer(request.reference, OLIVIA, "It is restricted.", "paused", day(1))
    request.refresh_from_db()
    assert request.state == "open"
    assert not ConsentRecord.objects.filter(decision="paused").exists()
