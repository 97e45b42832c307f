"""A key's text: on the page that made it, in the clipboard, and nowhere after."""

from playwright.sync_api import expect

from featurestore.access import services as access
from tests.browser.conftest import Enter
from tests.browser.world import RealWorld


def test_a_key_is_copied_and_then_gone(world: RealWorld, enter: Enter) -> None:
    access.create_client("support-bot", owner="chat", actor="test")
    page = enter("petra")
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


def test_the_overview_draws_its_chart(enter: Enter) -> None:
    page = enter("olivia")
    expect(page.get_by_text("Vouched for")).to_be_visible()
    drawn = "() => !!Chart.getChart(document.querySelector('canvas.chart'))"
    page.wait_for_function(drawn)
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("columnheader", name="Withdrawn")).to_be_visible()


def test_an_engineer_meets_no_customer(enter: Enter) -> None:
    page = enter("chris")
    expect(page.get_by_role("link", name="Customers")).to_have_count(0)
    assert "C42" not in page.content()
