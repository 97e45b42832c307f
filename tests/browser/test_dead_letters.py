"""A platform engineer lists dead letters, replays some and discards the others."""

import pytest
from playwright.sync_api import Page, expect

from featurestore.ingest import dead_letter_topic as ingest
from featurestore.ingest.models import DeadLetter
from tests.browser.conftest import LogIn
from tests.browser.environment import BrowserEnvironment
from tests.kit.dead_letter_topic import InMemoryDeadLetterTopic, quarantine
from tests.kit.orders import SUBJECT, order


@pytest.fixture
def dead_letters(env: BrowserEnvironment, monkeypatch: pytest.MonkeyPatch) -> InMemoryDeadLetterTopic:
    kafka = InMemoryDeadLetterTopic()
    monkeypatch.setattr(ingest, "connect", kafka.connect)
    for number in range(3):
        quarantine(kafka, SUBJECT, order(number), "misplaced")
    quarantine(kafka, SUBJECT, b'{"type": "shop.order_line", "data": {"order_id": "O9", "email": "ann@example.org"}}')
    return kafka


def run_action(page: Page, reason: str, action: str) -> None:
    """Select all dead letters of a reason, and run an action."""
    page.get_by_role("link", name=reason, exact=True).click()
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option(label=action)
    page.get_by_role("button", name="Run").click()


def test_dead_letters_are_replayed_and_discarded(dead_letters: InMemoryDeadLetterTopic, log_in: LogIn) -> None:
    page = log_in("petra")
    page.get_by_role("link", name="Dead letters").first.click()
    run_action(page, "misplaced", "Replay the selected")
    expect(page.get_by_text("events.orders.g1, misplaced")).to_be_visible()
    page.get_by_role("button", name="Replay now").click()
    expect(page.get_by_text("Replayed: 3 dead letters sent to the streams")).to_be_visible()
    assert [replay.value for replay in dead_letters.sent] == [order(number) for number in range(3)]

    page.locator("#result_list tbody tr", has_text="invalid").get_by_role("link").first.click()
    expect(page.get_by_text("masked: personal")).to_be_visible()
    expect(page.get_by_text("1 field that the source does not define")).to_be_visible()
    assert "ann@example.org" not in page.content()
    page.get_by_role("link", name="Dead letters").first.click()
    run_action(page, "invalid", "Discard the selected")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    page.get_by_label("Reason").fill("A test order")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("Discarded: 1 dead letter.")).to_be_visible()
    expect(page.get_by_text("No dead letter waits for a decision.")).to_be_visible()
    assert DeadLetter.objects.get(state="discarded").decided_reason == "A test order"
