"""Pause on a customer's page: reads are withheld until it is lifted, and answered with what was counted before."""

from typing import Any

from playwright.sync_api import Page, expect

from featurestore.consent.models import ConsentRecord
from tests.browser.conftest import LogIn, Read
from tests.browser.test_withdraw import find, row


def decide(page: Page, link: str, button: str) -> None:
    row(page).get_by_role("link", name=link).click()
    page.get_by_label("How the customer informed us").select_option("email")
    page.get_by_label("Reason").fill("Contests the accuracy")
    page.get_by_role("button", name=button).click()


def spent(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer["features"].items() if name.startswith("spend_amount_sum")}


def test_paused_purpose_is_answered_again_after_the_lifting(log_in: LogIn, read: Read) -> None:
    page = log_in("olivia")
    find(page)
    before = read()
    assert before["views"]["spend"]["status"] == "present"

    decide(page, "Pause", "Pause now")
    expect(page.get_by_text("paused, and in effect")).to_be_visible()
    expect(row(page)).to_contain_text("Paused")
    during = read()
    assert {view["reason"] for view in during["views"].values()} == {"paused"}
    assert "49" not in str(during["features"])

    decide(page, "Lift", "Lift now")
    expect(page.get_by_text("lifted, and in effect")).to_be_visible()
    expect(row(page)).to_contain_text("Allowed")
    after = read()
    assert spent(after) == spent(before) != {}
    assert after["views"]["spend"]["start"] > before["views"]["spend"]["start"]
    decisions = list(ConsentRecord.objects.values_list("decision", flat=True))
    assert decisions == ["lifted", "paused", "given"]
