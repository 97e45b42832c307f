"""A chat engineer's page of an assigned client; the search for an id with white space; the officer's first lines."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from featurestore.access import services as access
from featurestore.consent import services
from tests.browser.conftest import LogIn
from tests.browser.environment import BrowserEnvironment

ALLOWANCE = {"services": ["support_chat"], "purposes": ["service"], "scopes": ["features:read"], "actor": "test"}


@pytest.fixture
def assigned(env: BrowserEnvironment) -> None:
    """Two clients with a key each; support-bot is assigned to chris."""
    for name in ("support-bot", "sales-bot"):
        access.create_key(access.create_client(name, owner="chat team", actor="test"), **ALLOWANCE)
        if name == "support-bot":
            client = access.ApiClient.objects.get(name=name)
            access.assign_client(client, User.objects.get(username="chris"), actor="test")


def test_assigned_engineer_sets_a_client_inactive_and_not_active_again(assigned: None, log_in: LogIn) -> None:
    page = log_in("chris")
    page.get_by_role("link", name="API keys").click()
    page.locator("a", has_text="Filters").click()
    expect(page.get_by_text("By state")).to_be_visible()
    assert "sales-bot" not in page.content()
    page.goto("/admin/access/apiclient/")
    page.locator("#result_list").get_by_role("link", name="support-bot").click()
    expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()
    expect(page.get_by_role("textbox", name="Owner")).to_have_count(0)
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    page.get_by_role("link", name="Set inactive").click()
    page.get_by_role("button", name="Set inactive").click()
    expect(page.get_by_text("Inactive. Every request with its keys, secrets and tokens is refused.")).to_be_visible()
    expect(page.get_by_role("link", name="Set inactive")).to_have_count(0)
    expect(page.get_by_role("checkbox", name="Active")).to_have_count(0)
    assert not access.ApiClient.objects.get(name="support-bot").active


def test_search_takes_an_id_as_it_is_entered(log_in: LogIn) -> None:
    page = log_in("olivia")
    page.get_by_role("searchbox").fill("C42 ")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text("an id must not end with white space or an invisible character: U+0020")).to_be_visible()
    expect(page.get_by_role("link", name="C42", exact=True)).to_have_count(0)


def test_officer_is_led_to_a_paused_customer(log_in: LogIn) -> None:
    page = log_in("olivia")
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    services.pause("C42", "service", actor="olivia", method="email", reason="contested")
    page.reload()
    page.get_by_role("link", name="Due: 1 customer is paused").click()
    expect(page.get_by_role("link", name="C42", exact=True)).to_be_visible()
