"""A platform engineer finds what was put aside, replays what is mended and discards the rest."""

import pytest
from playwright.sync_api import Page, expect

from featurestore.ingest import dead_letter_topic as ingest
from featurestore.ingest.models import DeadLetter
from tests.admin.dead_letter_topic import InMemoryDeadLetterTopic, quarantine
from tests.browser.conftest import Enter
from tests.browser.world import RealWorld
from tests.ingest.quarantine import SUBJECT, order


@pytest.fixture
def dead_letters(world: RealWorld, monkeypatch: pytest.MonkeyPatch) -> InMemoryDeadLetterTopic:
    kafka = InMemoryDeadLetterTopic()
    monkeypatch.setattr(ingest, "connect", kafka.connect)
    for number in range(3):
        quarantine(kafka, SUBJECT, order(number), "misplaced")
    quarantine(kafka, SUBJECT, b'{"type": "shop.order_line", "data": {"order_id": "O9", "email": "ann@example.org"}}')
    return kafka


def choose(page: Page, reason: str, action: str) -> None:
    """All letters of a reason, and what to do with them."""
    page.get_by_role("link", name=reason, exact=True).click()
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option(label=action)
    page.get_by_role("button", name="Run").click()


def test_what_is_mended_is_replayed_and_the_rest_discarded(dead_letters: InMemoryDeadLetterTopic, enter: Enter) -> None:
    page = enter("petra")
    page.get_by_role("link", name="Dead letters").first.click()
    choose(page, "misplaced", "Replay the selected")
    expect(page.get_by_text("events.orders.g1, misplaced")).to_be_visible()
    page.get_by_role("button", name="Replay now").click()
    expect(page.get_by_text("Replayed: 3 letters on the way")).to_be_visible()
    assert [replay.value for replay in dead_letters.sent] == [order(number) for number in range(3)]

    page.locator("#result_list tbody tr", has_text="invalid").get_by_role("link").first.click()
    expect(page.get_by_text("masked: personal")).to_be_visible()
    expect(page.get_by_text("1 field that the source does not know")).to_be_visible()
    assert "ann@example.org" not in page.content()
    page.get_by_role("link", name="Dead letters").first.click()
    choose(page, "invalid", "Discard the selected")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    page.get_by_label("Reason").fill("A test order")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("Discarded: 1 letter.")).to_be_visible()
    expect(page.get_by_text("No letter waits.")).to_be_visible()
    assert DeadLetter.objects.get(state="discarded").decided_reason == "A test order"
