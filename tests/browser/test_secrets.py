"""An OAuth client: created, scoped, given a secret; its tokens are revoked on its page."""

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import LogIn
from tests.browser.environment import BrowserEnvironment

GRANT = {"grant_type": "client_credentials"}


def follow(page: Page, action: str) -> None:
    page.get_by_role("link", name=action, exact=True).click()


def test_client_gets_a_secret_a_token_and_is_revoked(
    env: BrowserEnvironment, log_in: LogIn, live_server: object
) -> None:
    page = log_in("petra")
    page.goto("/admin/access/apiclient/add/")
    page.get_by_label("Name").fill("support-bot")
    page.get_by_label("Owner").fill("chat team")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#result_list").get_by_role("link", name="support-bot").click()

    follow(page, "Set scopes of tokens")
    for box in ("features:read", "support_chat", "service: Service"):
        page.get_by_label(box).check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved. Existing tokens may do no more than this either.")).to_be_visible()

    follow(page, "Create a secret")
    page.get_by_role("button", name="Create the secret").click()
    secret = page.get_by_label("The secret").input_value()
    page.get_by_role("link", name="I have copied it").click()
    assert secret[17:] not in page.content()

    token_response = httpx.post(f"{live_server}/oauth/token", data=GRANT, auth=("support-bot", secret))
    assert token_response.json()["scope"] == "features:read purpose:service"
    headers = {"Authorization": f"Bearer {token_response.json()['access_token']}"}
    question = {"service": "support_chat", "purpose": "service", "customer_id": "C42"}
    assert httpx.post(f"{live_server}/v1/features", json=question, headers=headers).status_code == 200

    page.reload()
    expect(page.get_by_text("1 valid")).to_be_visible()
    follow(page, "Revoke all tokens")
    page.get_by_role("button", name="Revoke now").click()
    expect(page.get_by_text("Tokens revoked: 1.")).to_be_visible()
    assert httpx.post(f"{live_server}/v1/features", json=question, headers=headers).status_code == 401
