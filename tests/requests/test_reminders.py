"""Reminders: to the assignee, else to everybody who may answer; overdue ones to approvers, too; each once."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend

from featurestore.requests import metrics, services
from featurestore.requests.models import Reminder
from featurestore.requests.services.reminders import remind, send_due
from tests.kit.requests import NOON, OLIVIA, RequestsEnvironment, day

RIGHTS = {"olivia": "change_subjectrequest", "oscar": "change_subjectrequest", "anton": "approve_subjectrequest"}


@pytest.fixture
def people(env: RequestsEnvironment) -> dict[str, User]:
    made = {}
    for name, right in RIGHTS.items():
        made[name] = User.objects.create_user(name, email=f"{name}@example.org", is_staff=True)
        made[name].user_permissions.add(Permission.objects.get(codename=right))
    User.objects.create_superuser("root", email="root@example.org")
    return made


def told(kind: str = "") -> set[str]:
    found = Reminder.objects.filter(kind=kind) if kind else Reminder.objects.all()
    return set(found.values_list("recipient__username", flat=True))


def test_officers_are_reminded_of_what_nobody_is_assigned(env: RequestsEnvironment, people: dict[str, User]) -> None:
    request = env.verified()
    assert remind(request.due_at - timedelta(days=8)) == 0
    assert remind(request.due_at - timedelta(days=7)) == 2
    assert remind(request.due_at - timedelta(days=6)) == 0, "once"
    assert told("due_soon") == {"olivia", "oscar"}
    assert remind(request.due_at) == 3
    assert told("overdue") == {"olivia", "oscar", "anton"}


def test_assignee_alone_is_reminded_and_approvers_of_what_is_overdue(
    env: RequestsEnvironment, people: dict[str, User]
) -> None:
    request = env.verified()
    services.assign(request.reference, people["oscar"], OLIVIA, now=day(1))
    remind(request.due_at - timedelta(days=1))
    assert told() == {"oscar"}
    remind(request.due_at)
    assert told("overdue") == {"oscar", "anton"}


def test_new_due_date_reminds_anew(env: RequestsEnvironment, people: dict[str, User]) -> None:
    request = env.verified()
    remind(request.due_at - timedelta(days=1))
    extended = services.extend(request.reference, OLIVIA, "many sources", request.due_at - timedelta(days=1))
    assert remind(request.due_at) == 0
    assert remind(extended.due_at - timedelta(days=1)) == 2


def test_nobody_is_reminded_of_unverified_paused_and_ended_requests(
    env: RequestsEnvironment, people: dict[str, User]
) -> None:
    env.receive()
    waiting, ended = env.verified("erasure"), env.verified("portability")
    services.wait_for_customer(waiting.reference, OLIVIA, "which lamp?", day(1))
    services.withdraw(ended.reference, OLIVIA, "by phone", day(1))
    assert remind(day(90)) == 0


def test_acknowledgement_is_reminded_of_three_days_before(env: RequestsEnvironment, people: dict[str, User]) -> None:
    request = env.verified(regime="ccpa")
    assert request.acknowledge_by is not None
    assert remind(request.acknowledge_by - timedelta(days=4)) == 0
    assert remind(request.acknowledge_by - timedelta(days=3)) == 2
    assert told() == told("acknowledgement_due")


def test_reminder_is_sent_by_email_once_and_names_no_customer(
    env: RequestsEnvironment, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = env.verified()
    User.objects.filter(username="oscar").update(email="")
    remind(request.due_at)
    sent = EmailBackend.send_messages

    def refuse(*_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    assert send_due(day(60)) == 0
    assert {one.last_error for one in Reminder.objects.exclude(recipient__email="")} == {
        "The mail server did not take it: ConnectionRefusedError."
    }
    monkeypatch.setattr(EmailBackend, "send_messages", sent)
    assert send_due(day(60)) == 0, "not yet"
    assert send_due(day(61)) == 2
    assert send_due(day(62)) == 0
    assert {message.to[0] for message in mail.outbox} == {"olivia@example.org", "anton@example.org"}
    assert mail.outbox[0].subject == f"Request {request.reference} is overdue since 30 December 2026"
    assert "C1" not in mail.outbox[0].body


def test_metrics_count_open_and_overdue_requests_by_type(
    env: RequestsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, type_ in enumerate(("access", "access", "erasure")):
        env.verified(type_, customer_id=f"C{number}", at=day(-40 * number))
    paused = env.verified("portability", at=day(-60))
    services.wait_for_customer(paused.reference, OLIVIA, "which lamp?", day(-50))
    monkeypatch.setattr(metrics, "database_now", lambda: NOON)
    metrics.measure(lambda: 1e12)
    found = {
        (sample.name.removeprefix("rapport_requests_"), sample.labels["type"]): sample.value
        for gauge in (metrics.OPEN, metrics.OVERDUE)
        for family in gauge.collect()
        for sample in family.samples
        if sample.value
    }
    assert found == {
        ("open", "access"): 2,
        ("open", "erasure"): 1,
        ("open", "portability"): 1,
        ("overdue", "access"): 1,
        ("overdue", "erasure"): 1,
    }
