"""The first line of the administration's first page: what waits for the user, in plain words."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

from adminsite.work import Work, work_of
from featurestore.consent import services
from featurestore.requests.models import SubjectRequest
from tests.admin.conftest import env
from tests.admin.environment import AdminEnvironment

__all__ = ["env"]


def work(name: str) -> Work | None:
    request = RequestFactory().get("/")
    request.user = User.objects.get(username=name)
    return work_of(request)


def test_officer_without_work_is_told_what_was_looked_at(env: AdminEnvironment) -> None:
    rest = (
        "Nothing waits for you: no request is due soon, every request is verified, no message waits to be sent by "
        "hand, no export is in review, no erasure waits for a server, no customer is paused, every decision is "
        "in effect, no audit has ended yet."
    )
    assert work("olivia") == Work([], rest)
    env.finding("dismissed")
    assert work("olivia") == Work([], rest.replace("no audit has ended yet", "no finding is open"))
    assert work("chris") is None


def test_officer_sees_what_is_due_and_pending_and_found(env: AdminEnvironment) -> None:
    env.register("C1", "C2")
    for customer_id in ("C1", "C42"):
        services.pause(customer_id, None, actor="olivia", method="email", reason="contested")
    env.finding()
    env.store.available = False
    env.give("C2")
    found = work("olivia")
    assert found is not None
    due, pending, finding = (item.text for item in found.items)
    assert due.startswith("Due: 2 customers are paused and wait for your decision, the first since ")
    assert due.endswith(f"{datetime.now(UTC):%-d %B %Y}")
    assert pending == "Pending: 1 decision not in effect yet"
    assert finding == "1 finding of the consent audit to look at"
    assert found.rest == (
        "Nothing else waits: no request is due soon, every request is verified, no message waits to be sent by hand, "
        "no export is in review, no erasure waits for a server."
    )


def test_lifted_pause_is_no_longer_due(env: AdminEnvironment) -> None:
    services.pause("C42", None, actor="olivia", method="email", reason="contested")
    services.lift("C42", None, actor="olivia", method="email", reason="weighed")
    assert work("olivia").items == []  # type: ignore[union-attr]


def test_platform_engineer_sees_dead_letters(env: AdminEnvironment) -> None:
    env.dead_letter()
    assert [item.text for item in work("petra").items] == [  # type: ignore[union-attr]
        "1 event that could not be counted, to be replayed or discarded"
    ]


@pytest.mark.parametrize("name", ["olivia", "petra", "root"])
def test_work_is_first_on_the_overview_and_its_links_list_the_cases(env: AdminEnvironment, name: str) -> None:
    services.pause("C42", "service", actor="olivia", method="email", reason="contested")
    env.finding()
    env.dead_letter()
    env.subject_request(attested=False)
    overdue = env.subject_request("erasure")
    SubjectRequest.objects.filter(pk=overdue.pk).update(due_at=overdue.received_at)
    browser: Client = env.log_in(name)
    page = browser.get(reverse("admin:index"))
    text = page.content.decode()
    assert text.index("Your work") < text.index("rp-figures")
    assert page.context["work"].items
    for item in page.context["work"].items:
        assert browser.get(item.link).context["cl"].result_count == item.number, item
