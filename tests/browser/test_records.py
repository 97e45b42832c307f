"""Access records: an officer finds who read a customer; an engineer sees a client's requests."""

import pytest
from playwright.sync_api import expect

from featurestore.access import services as access
from featurestore.accesslog import selectors
from featurestore.accesslog.consumer import ReceivedBatch, mark_vanished, write
from featurestore.accesslog.stream import StreamState
from featurestore.accesslog.writer import AccessLogWriter
from featurestore.clock import database_now, milliseconds
from tests.browser.conftest import LogIn
from tests.browser.environment import BrowserEnvironment
from tests.kit.access_log import MemoryStream, answer


class Bot:
    client, key_id = "support-bot", "0123456789ab"


@pytest.fixture
def read(env: BrowserEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    """support-bot read C42 three times, then its process vanished; one request had no known client."""
    monkeypatch.setattr(selectors, "stream_state", lambda: StreamState(0, 0.0, 0))
    access.create_client("support-bot", owner="chat", actor="test")
    stream, now_ms = MemoryStream(), milliseconds(database_now())
    writer = AccessLogWriter(stream, 10**9, lambda: now_ms)
    monkeypatch.setattr(writer, "start", lambda: None)
    for n in range(3):
        answers = [answer(spend=None, returns=None, mood="purpose_not_served" if n else None)]
        writer.add_read(Bot, "support_chat", "service", [env.subject("C42")], answers, now_ms - n * 60_000, f"turn-{n}")
        writer.add_request("support-bot", "features", 200)
    writer.add_request("support-bot", "consents", 403)
    writer.add_request("", "features", 401)
    writer.flush()
    write([ReceivedBatch(now_ms, batch) for batch in stream.batches])
    mark_vanished(now_ms + 1, database_now())


def test_access_records_are_reached_from_the_customer_page(read: None, log_in: LogIn) -> None:
    page = log_in("olivia")
    page.get_by_role("link", name="Customers").first.click()
    page.get_by_role("link", name="C42").first.click()
    page.get_by_role("link", name="Who read this").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(3)
    expect(page.get_by_text("Process vanished").first).to_be_visible()
    expect(page.get_by_text("withheld: mood").first).to_be_visible()
    page.locator("#result_list tbody tr").first.get_by_role("link").first.click()
    expect(page.get_by_text("turn-0")).to_be_visible()
    page.get_by_role("link", name="Access gaps").first.click()
    expect(page.get_by_text("Perhaps some")).to_be_visible()


def test_engineer_sees_requests_and_statuses_of_a_client(read: None, log_in: LogIn) -> None:
    page = log_in("petra")
    page.get_by_role("link", name="API clients").click()
    expect(page.get_by_role("heading", name="Requests of unknown clients")).to_be_visible()
    page.get_by_role("link", name="support-bot").click()
    row = page.locator("tr", has_text="consents")
    expect(row).to_contain_text("403")
    expect(page.get_by_role("link", name="Access records")).to_have_count(0)
