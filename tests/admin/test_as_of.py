"""The page of what a customer allowed at a past time."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from featurestore.auditlog.document_proofs import verify_logged
from featurestore.auditlog.services import sequence_due, sign_due
from featurestore.consent.models import ConsentRecord
from featurestore.consent.services.erasure import erase_permissions
from featurestore.customers.models import Customer
from tests.admin.environment import AdminEnvironment, text_of
from tests.kit.logins import log_in

PAGE = reverse("admin:customers_customer_as_of")
SIGN = reverse("admin:customers_customer_sign_as_of")


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


def test_what_is_shown_is_issued_as_a_signed_document(env: AdminEnvironment, olivia: Client) -> None:
    env.access_record()
    shown = ask(olivia)
    assert "Issue as a signed document" in text_of(shown)
    asked = shown.request["QUERY_STRING"]
    assert f"{SIGN}?{asked}" in text_of(shown).replace("&amp;", "&")
    page = olivia.post(f"{SIGN}?{asked}", follow=True)
    assert "The document is issued." in text_of(page)
    sequence_due()
    sign_due()
    signed = olivia.post(f"{SIGN}?{asked}")
    assert signed["Content-Disposition"] == 'attachment; filename="as-of.json"'
    verified = verify_logged(signed.content.decode()).verified
    assert verified.document["subject"] == env.customers["C42"].subject
    assert "No API client has the name" in text_of(olivia.post(f"{SIGN}?{asked}&client=nobody", follow=True))
    assert "This field is required" in text_of(olivia.post(f"{SIGN}?{asked}&customer_id=", follow=True))


def test_reads_of_one_client_are_listed_alone(env: AdminEnvironment, olivia: Client) -> None:
    env.access_record()
    at = timezone.localtime().strftime("%Y-%m-%dT%H:%M:%S")
    for client, reads in (("", 1), ("support-bot", 1), ("sales-bot", 0)):
        page = olivia.get(PAGE, {"customer_id": "C42", "at": at, "client": client})
        assert len(page.context["reads"].records) == reads


def test_who_may_not_see_every_read_issues_no_document(env: AdminEnvironment) -> None:
    person = User.objects.get(username="iris")
    person.user_permissions.add(*Permission.objects.filter(codename__in=["view_customer", "view_consentrecord"]))
    iris = env.log_in("iris")
    assert "Issue as a signed document" not in text_of(ask(iris))
    assert iris.post(f"{SIGN}?customer_id=C42").status_code == 403


def test_who_is_asked_for_a_password_comes_back_to_the_page(env: AdminEnvironment) -> None:
    old, query = log_in("olivia", age_s=3600), "customer_id=C42&client=&at=2026-01-01T00%3A00"
    asked = old.post(f"{SIGN}?{query}")
    assert asked.headers["Location"].startswith(reverse("account_reauthenticate"))
    shown = old.post(asked.headers["Location"], {"password": "pw", "next": f"{SIGN}?{query}"}, follow=True)
    assert shown.request["PATH_INFO"] == PAGE
    assert shown.context["form"]["customer_id"].value() == "C42"
