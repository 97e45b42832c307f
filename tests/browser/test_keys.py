"""An API key: shown once, copied to the clipboard; the overview's chart; an engineer's overview."""

from playwright.sync_api import expect

from featurestore.access import services as access
from tests.browser.conftest import LogIn
from tests.browser.environment import BrowserEnvironment


def test_key_is_copied_and_shown_once(env: BrowserEnvironment, log_in: LogIn) -> None:
    access.create_client("support-bot", owner="chat", actor="test")
    page = log_in("petra")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="API clients").click()
    page.get_by_role("link", name="support-bot").click()
    page.get_by_role("link", name="Create a key").click()
    for box in ("features:read", "support_chat", "service: Service"):
        page.get_by_label(box).check()
    page.get_by_role("button", name="Create the key").click()
    text = page.get_by_label("The key").input_value()
    assert text.startswith("rap_")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == text
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()
    assert text.rpartition("_")[2] not in page.content()


def test_overview_draws_its_chart(log_in: LogIn) -> None:
    page = log_in("olivia")
    expect(page.get_by_text("Vouched for")).to_be_visible()
    drawn = "() => !!Chart.getChart(document.querySelector('canvas.chart'))"
    page.wait_for_function(drawn)
    page.get_by_text("Show as a table").click()
    expect(page.get_by_role("columnheader", name="Withdrawn")).to_be_visible()


def test_engineer_sees_no_customer_id(log_in: LogIn) -> None:
    page = log_in("chris")
    expect(page.get_by_role("link", name="Customers")).to_have_count(0)
    assert "C42" not in page.locator("body").inner_text()
