"""Second factors in a real browser: an app set up at the first login, a passkey of Chromium's own authenticator."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from featurestore.config import settings
from featurestore.logins.models import LoginEvent
from tests.browser.conftest import LogIn
from tests.kit.logins import code_of

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(autouse=True)
def required() -> Iterator[None]:
    """Second factors are required."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(settings().__dict__, "second_factor", "required")
        yield


def add_authenticator(page: Page) -> None:
    """Give the page's browser an authenticator that always agrees."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})


def add_passkey(page: Page) -> None:
    """Set up a passkey that logs in alone, and show it to this session."""
    add_authenticator(page)
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Name").fill("Olivia's laptop")
    expect(page.get_by_label("Log in with it alone")).to_be_checked()
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.locator("#recovery_codes li")).to_have_count(10)
    page.get_by_role("link", name="I have stored them").click()
    page.get_by_role("button", name="Use your passkey").click()


def log_out(page: Page) -> None:
    expect(page.get_by_role("link", name="Customers")).to_be_visible()
    with page.expect_navigation():
        page.locator("#logout-form").evaluate("form => form.submit()")
    page.goto("/admin/")


def test_app_is_set_up_at_the_first_login_and_asked_at_the_next(log_in: LogIn) -> None:
    page = log_in("olivia")
    expect(page.get_by_text("a password is not enough")).to_be_visible()
    expect(page.get_by_role("link", name="Customers")).to_have_count(0)
    page.get_by_role("link", name="Set up an app").click()
    secret = page.locator("#totp_secret").inner_text()
    page.get_by_label("code").fill(code_of(secret))
    page.get_by_role("button", name="Set up").click()
    codes = page.locator("#recovery_codes li").all_inner_texts()
    assert len(codes) == 10
    page.get_by_role("link", name="I have stored them").click()
    page.get_by_label("Code").fill(codes[0])  # the app's code was used a moment ago
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("link", name="Customers")).to_be_visible()

    log_out(page)
    page.get_by_label("Username").fill("olivia")
    page.get_by_label("Password").fill("pw")
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Incorrect code")).to_be_visible()
    page.get_by_label("Code").fill(codes[1])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("link", name="Customers")).to_be_visible()


def test_passkey_logs_in_without_a_password_and_shows_it_is_you(log_in: LogIn) -> None:
    page = log_in("olivia")
    add_passkey(page)
    expect(page.get_by_role("link", name="Customers")).to_be_visible()

    log_out(page)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("link", name="Customers")).to_be_visible()
    assert [event.kind for event in LoginEvent.objects.order_by("pk")] == ["logged_in", "factor_added", "logged_in"]


def test_passkey_works_while_the_password_is_being_guessed(log_in: LogIn) -> None:
    page = log_in("olivia")
    add_passkey(page)
    log_out(page)
    for _ in range(6):
        page.get_by_label("Username").fill("olivia")
        page.get_by_label("Password").fill("guess")
        page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Too many failed attempts")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("link", name="Customers")).to_be_visible()
