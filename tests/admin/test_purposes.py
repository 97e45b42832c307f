"""Admin pages of purposes and notices."""

import hashlib

import pytest
from django.test import Client
from django.urls import reverse

from featurestore.consent.models import Notice, Purpose
from featurestore.permission import Denial
from tests.admin.environment import AdminEnvironment

ADD_PURPOSE, ADD_NOTICE = "admin:consent_purpose_add", "admin:consent_notice_add"
PURPOSE = {
    "title": "News",
    "name": "news",
    "description": "By e-mail.",
    "lawful_basis": "consent",
    "validity_days": "365",
}


@pytest.fixture
def olivia(env: AdminEnvironment) -> Client:
    return env.log_in("olivia")


def notice(**changes: object) -> dict[str, object]:
    service = Purpose.objects.get(name="service").pk
    text = {
        "name": "privacy",
        "version": 2,
        "language": "de",
        "body": "Zeile eins.\nZeile zwei.",
        "purposes": [service],
    }
    return text | changes


def test_purpose_is_defined_and_its_texts_change(olivia: Client) -> None:
    assert olivia.post(reverse(ADD_PURPOSE), PURPOSE).status_code == 302
    news = Purpose.objects.get(name="news")
    assert (news.lawful_basis, news.validity_days, news.backfilled) == ("consent", 365, True)
    page = reverse("admin:consent_purpose_change", args=[news.pk])
    assert "Allowed while the customer consents" in olivia.get(page).content.decode()
    changed = PURPOSE | {"title": "Our news", "name": "other", "lawful_basis": "contract", "validity_days": ""}
    assert olivia.post(page, changed).status_code == 302
    news.refresh_from_db()
    assert (news.title, news.name, news.lawful_basis, news.validity_days) == ("Our news", "news", "consent", None)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "service"},
        {"name": "a b"},
        {"name": ""},
        {"lawful_basis": "x"},
        {"validity_days": "0"},
        {"validity_days": "99999"},
        {"name": "News"},
    ],
    ids=str,
)
def test_invalid_purposes_are_refused(olivia: Client, change: dict[str, str]) -> None:
    page = olivia.post(reverse(ADD_PURPOSE), PURPOSE | change)
    assert page.status_code == 200
    assert page.context["errors"]
    assert not Purpose.objects.filter(name="news").exists()


def test_retired_purpose_stays_retired(env: AdminEnvironment, olivia: Client) -> None:
    service = Purpose.objects.get(name="service")
    page = reverse("admin:consent_purpose_retire", args=[service.pk])
    assert "Retire for good" in olivia.get(page).content.decode()
    page_text = olivia.post(page, follow=True).content.decode()
    assert "Every grant has ended" in page_text
    assert env.read("C42") is Denial.REFUSED
    service.refresh_from_db()
    assert not service.active
    assert olivia.post(page).status_code == 403
    assert olivia.post(reverse("admin:consent_purpose_change", args=[service.pk]), PURPOSE).status_code == 403
    assert env.log_in("chris").post(page).status_code == 403


def test_retirement_without_the_store_is_reported_as_pending(env: AdminEnvironment, olivia: Client) -> None:
    env.store.available = False
    page = reverse("admin:consent_purpose_retire", args=[Purpose.objects.get(name="service").pk])
    assert "not ended in the store yet" in olivia.post(page, follow=True).content.decode()


def test_notice_is_published_once(olivia: Client) -> None:
    assert olivia.post(reverse(ADD_NOTICE), notice()).status_code == 302
    published = Notice.objects.get(reference="privacy/2/de")
    assert published.sha256 == hashlib.sha256(published.body.encode()).hexdigest()
    assert [purpose.name for purpose in published.purposes.all()] == ["service"]
    again = olivia.post(reverse(ADD_NOTICE), notice(body="Another text."))
    assert again.status_code == 200
    assert again.context["errors"]
    page = olivia.get(reverse("admin:consent_notice_change", args=[published.pk])).content.decode()
    assert published.sha256 in page
    assert "Zeile zwei." in page


@pytest.mark.parametrize(
    "change",
    [{"body": " "}, {"purposes": []}, {"version": "-1"}, {"version": "x"}, {"name": "a/b"}, {"language": ""}],
    ids=str,
)
def test_invalid_notices_are_refused(olivia: Client, change: dict[str, object]) -> None:
    page = olivia.post(reverse(ADD_NOTICE), notice(**change))
    assert page.status_code == 200
    assert page.context["errors"]
    assert Notice.objects.count() == 1
