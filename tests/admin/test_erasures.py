"""Pages of erasures, legal holds and suppressions."""

import pytest
from django.urls import reverse

from featurestore.customers.models import LegalHold, Suppression
from featurestore.locations import registry
from featurestore.requests.erasure.models import Erasure
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services import Intake, receive
from tests.admin.environment import AdminEnvironment, text_of
from tests.kit.erasures import SHOP, MemoryLocation


@pytest.fixture
def request_of_c1(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> SubjectRequest:
    """A verified request for an erasure; one data location is registered."""
    monkeypatch.setattr(registry, "_locations", {"store": MemoryLocation("store")})
    return receive(Intake("erasure", "gdpr", "api", "C1", attested=True), SHOP).request


def test_officer_starts_an_erasure_by_entering_the_reference_twice(
    env: AdminEnvironment, request_of_c1: SubjectRequest
) -> None:
    browser, page = env.log_in("olivia"), reverse("admin:erasure_erasure_start")
    reference = request_of_c1.reference
    refused = browser.post(page, {"reference": reference, "again": "R-2222-2222"})
    assert "The two references differ" in text_of(refused)
    assert not Erasure.objects.exists()
    browser.post(page, {"reference": reference, "again": reference})
    erasure = Erasure.objects.get()
    assert (erasure.started_by, erasure.request) == ("olivia", request_of_c1)
    again = browser.post(page, {"reference": reference, "again": reference})
    assert "was started before" in text_of(again)


def test_progress_shows_each_location_and_what_hinders_it(env: AdminEnvironment) -> None:
    erasure, browser = env.erasure(), env.log_in("olivia")
    page = text_of(browser.get(reverse("admin:erasure_erasure_change", args=[erasure.pk])))
    for shown in ("place0", "Unavailable, tried again", "the store does not answer", "Kept by a legal hold"):
        assert shown in page
    assert "C42" not in page
    listed = text_of(browser.get(reverse("admin:erasure_erasure_changelist")))
    assert "1 unavailable, 1 held, 1 of 3 checked" in listed


def test_hold_is_placed_and_released_with_reasons(env: AdminEnvironment, request_of_c1: SubjectRequest) -> None:
    browser = env.log_in("olivia")
    place = reverse("admin:customers_legalhold_place")
    assert browser.post(place, {"customer_id": "C1", "reason": ""}).status_code == 200
    assert not LegalHold.objects.exists()
    browser.post(place, {"customer_id": "C1", "reason": "a tax audit", "locations": ["store"]})
    hold = LegalHold.objects.get()
    assert (hold.subject, hold.locations, hold.placed_by) == (env.customers["C1"].subject, ["store"], "olivia")
    page = text_of(browser.get(reverse("admin:customers_legalhold_change", args=[hold.pk])))
    assert "Location store" in page
    assert "In force" in page
    browser.post(reverse("admin:customers_legalhold_release", args=[hold.pk]), {"reason": "over"})
    hold.refresh_from_db()
    assert (hold.released_by, hold.release_reason) == ("olivia", "over")


def test_suppressions_show_counts_and_no_digest(env: AdminEnvironment) -> None:
    env.erasure()
    browser, row = env.log_in("olivia"), Suppression.objects.get()
    pages = ["changelist", "change"]
    for page, keys in zip(pages, ([], [row.pk]), strict=True):
        shown = text_of(browser.get(reverse(f"admin:customers_suppression_{page}", args=keys)))
        assert row.digest not in shown


@pytest.mark.parametrize("name", ["petra", "chris"])
def test_engineers_start_no_erasure_and_place_no_hold(env: AdminEnvironment, name: str) -> None:
    browser = env.log_in(name)
    for page in ("admin:erasure_erasure_start", "admin:customers_legalhold_place"):
        assert browser.post(reverse(page), {"reference": "x"}).status_code == 403
