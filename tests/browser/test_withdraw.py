"""Withdrawal on a customer's page: the next read of the API is withheld."""

from typing import Any

from playwright.sync_api import Page, expect

from featurestore.consent.models import ConsentRecord
from tests.browser.conftest import LogIn, Read


def find(page: Page) -> None:
    page.get_by_role("searchbox").fill("C42")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="C42", exact=True).click()
    expect(page.get_by_role("heading", name="What the customer allows")).to_be_visible()


def row(page: Page) -> Any:
    return page.locator("tr[data-purpose=service]")


def withdraw(page: Page) -> None:
    row(page).get_by_role("link", name="Withdraw").click()
    page.get_by_label("How the customer informed us").select_option("email")
    page.get_by_label("Reason").fill("Wrote to us: no more")
    page.get_by_role("button", name="Withdraw now").click()


def test_next_read_after_a_withdrawal_is_withheld(log_in: LogIn, read: Read) -> None:
    page = log_in("olivia")
    find(page)
    expect(row(page)).to_contain_text("Allowed")
    expect(row(page)).to_contain_text("In the store")
    before = read()
    assert before["views"]["spend"]["status"] == "present"
    assert "49.00" in str(before["features"]) or 49 in before["features"].values()

    withdraw(page)
    after = read()

    assert {view["status"] for view in after["views"].values()} == {"withheld"}
    assert "49" not in str(after["features"])
    expect(page.get_by_text("withdrawn, and in effect")).to_be_visible()
    expect(row(page)).to_contain_text("Denied")
    expect(row(page)).to_contain_text("In the store")
    newest = page.locator(".rp-timeline > li").first
    expect(newest).to_contain_text("Withdrawn")
    expect(newest).to_contain_text("Wrote to us: no more")
    expect(newest).to_contain_text("recorded by olivia")


def test_withdrawal_needs_a_reason(log_in: LogIn, read: Read) -> None:
    page = log_in("olivia")
    find(page)
    row(page).get_by_role("link", name="Withdraw").click()
    page.get_by_role("button", name="Withdraw now").click()
    expect(page.get_by_text("This field is required.")).to_have_count(2)
    page.get_by_role("link", name="Cancel").click()
    expect(row(page)).to_contain_text("Allowed")
    assert read()["views"]["spend"]["status"] == "present"
    assert ConsentRecord.objects.count() == 1


def test_consent_given_again_starts_without_values(log_in: LogIn, read: Read) -> None:
    page = log_in("olivia")
    find(page)
    withdraw(page)
    row(page).get_by_role("link", name="Give").click()
    page.get_by_label("Notice that the customer was shown").select_option("privacy/1/en")
    page.get_by_label("How the customer informed us").select_option("phone")
    page.get_by_role("button", name="Record the consent").click()
    expect(page.get_by_text("given, and in effect")).to_be_visible()
    answer = read()
    assert answer["views"]["spend"]["status"] == "missing"
    assert "49" not in str(answer["features"])
