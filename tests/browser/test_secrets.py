"""A client that buys tokens: made, scoped and given a secret on its pages; its tokens end with one click."""

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import Enter
from tests.browser.world import RealWorld

GRANT = {"grant_type": "client_credentials"}


def choose(page: Page, action: str) -> None:
    page.get_by_role("link", name=action, exact=True).click()


def test_from_a_new_client_to_a_revoked_token(world: RealWorld, enter: Enter, live_server: object) -> None:
    page = enter("petra")
    page.goto("/admin/access/apiclient/add/")
    page.get_by_label("Name").fill("support-bot")
    page.get_by_label("Owner").fill("chat team")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#result_list").get_by_role("link", name="support-bot").click()

    choose(page, "Set their scope")
    for box in ("features:read", "support_chat", "service: Service"):
        page.get_by_label(box).check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Tokens that live may do no more than this either.")).to_be_visible()

    choose(page, "Create a secret")
    page.get_by_role("button", name="Create the secret").click()
    secret = page.get_by_label("The secret").input_value()
    page.get_by_role("link", name="I have copied it").click()
    assert secret[17:] not in page.content()

    bought = httpx.post(f"{live_server}/oauth/token", data=GRANT, auth=("support-bot", secret))
    assert bought.json()["scope"] == "features:read purpose:service"
    headers = {"Authorization": f"Bearer {bought.json()['access_token']}"}
    question = {"service": "support_chat", "purpose": "service", "customer_id": "C42"}
    assert httpx.post(f"{live_server}/v1/features", json=question, headers=headers).status_code == 200

    page.reload()
    expect(page.get_by_text("1 live")).to_be_visible()
    choose(page, "Revoke all tokens")
    page.get_by_role("button", name="Revoke now").click()
    expect(page.get_by_text("Tokens revoked: 1.")).to_be_visible()
    assert httpx.post(f"{live_server}/v1/features", json=question, headers=headers).status_code == 401
