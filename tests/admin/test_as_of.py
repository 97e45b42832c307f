"""The page of what a customer allowed at a past time."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from featurestore.consent.models import ConsentRecord
from featurestore.consent.services.erasure import erase_permissions
from featurestore.customers.models import Customer
from tests.admin.environment import AdminEnvironment, text_of

PAGE = reverse("admin:customers_customer_as_of")


@pytest.fixture
def olivia(env: AdminEnvironment) -> Client:
    return env.log_in("olivia")


def ask(browser: Client, before: timedelta = timedelta()) -> HttpResponse:
    """The page about customer C42 at the time of the last decision, or so long before it."""
    at = timezone.localtime(ConsentRecord.objects.latest("sequence").at - before)
    return browser.get(PAGE, {"customer_id": "C42", "at": at.strftime("%Y-%m-%dT%H:%M:%S.%f")})


def test_page_shows_what_was_allowed_then(env: AdminEnvironment, olivia: Client) -> None:
    page = ask(olivia)
    reasons = {line.purpose.name: line.reason for line in page.context["purposes"]}
    assert set(reasons.values()) == {None}
    assert "privacy/1/en" in text_of(page)
    before = {line.purpose.name: line.reason for line in ask(olivia, timedelta(hours=1)).context["purposes"]}
    assert set(before.values()) == {"never_allowed"}


def test_customers_page_leads_to_it_with_the_customers_id(env: AdminEnvironment, olivia: Client) -> None:
    past = reverse("admin:customers_customer_past", args=[env.customers["C42"].pk])
    page = olivia.get(past, follow=True)
    assert 'value="C42"' in text_of(page)
    assert page.context["form"].errors == {}, "nothing is refused before it is asked"


def test_erased_customer_is_shown_with_the_time_before_the_erasure(env: AdminEnvironment, olivia: Client) -> None:
    erase_permissions([env.customers["C42"].pk])
    then = {line.purpose.name: line.allowed for line in ask(olivia).context["purposes"]}
    assert Customer.objects.get(pk=env.customers["C42"].pk).erased_at
    assert then["service"]


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"customer_id": "nobody", "at": "2026-01-01T00:00:00"}, "No customer with this id"),
        ({"customer_id": "C42", "at": "2999-01-01T00:00:00"}, "in the future"),
        ({"customer_id": "C42", "at": "yesterday"}, "valid date"),
        ({"customer_id": "a\x00b", "at": "2026-01-01T00:00:00"}, "ull characters are not allowed"),
        ({"customer_id": "", "at": "2026-01-01T00:00:00"}, "required"),
    ],
)
def test_wrong_question_is_refused_with_the_reason(olivia: Client, asked: dict[str, str], refusal: str) -> None:
    page = olivia.get(PAGE, asked)
    assert page.status_code == 200
    assert refusal in text_of(page)
    assert "purposes" not in page.context


def test_reads_are_shown_to_who_may_see_every_clients_reads(env: AdminEnvironment, olivia: Client) -> None:
    env.access_record()
    page = ask(olivia)
    assert [read.context.client for read in page.context["reads"].records] == ["support-bot"]
    assert "not complete" in text_of(page), "a record is lost"
    rita = User.objects.create_user("rita", password="pw", is_staff=True)
    for codename in ("view_customer", "view_consentrecord", "view_accessrecord"):
        rita.user_permissions.add(Permission.objects.get(codename=codename))
    page = ask(env.log_in("rita"))
    assert "support-bot" not in text_of(page)
    assert page.context["purposes"]


def test_page_is_closed_to_who_may_not_see_consent(env: AdminEnvironment) -> None:
    assert env.log_in("chris").get(PAGE).status_code == 403
