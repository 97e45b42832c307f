"""An officer's morning: triage, verification, an access request to the opened package, an erasure to its end, an
extension and a refusal, in a browser, on a real store. Topics are in memory, and their stated time passes by injection.

The clicks that each task needs are counted, and stated in ``CLICKS``.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django.core import mail
from django.db.models import Max
from django.urls import reverse
from playwright.sync_api import Browser, Locator, Page, expect

from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent import services as consent
from featurestore.consent.journal.appender import append_due
from featurestore.consent.outbox import relay
from featurestore.consent.services import erasure as forgetting
from featurestore.customers.models import Customer
from featurestore.profiles.services import register
from featurestore.requests import services
from featurestore.requests.actors import client
from featurestore.requests.erasure import walk
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.export import folder, work
from featurestore.requests.models import CustomerMessage, SubjectRequest
from featurestore.requests.services import Intake, messages
from featurestore.requests.states import State
from tests.browser.conftest import LogIn, Read
from tests.browser.environment import BrowserEnvironment
from tests.kit.exports import Opened, read_package
from tests.kit.journal import MemoryJournal
from tests.kit.requests import seed_regimes
from tests.kit.shop import SentPurges, sent
from tests.kit.topics_in_memory import topics_in_memory

__all__ = ["sent"]
SHOP = client("shop")
Background = Callable[..., None]
PATIENCE_MS = 30_000
CLICKS = {"triage": 4, "verify": 4, "access": 14, "erase": 4, "extend": 5, "refuse": 5}
"""Clicks of each task, from the overview or the queue to its end."""


class Officer:
    """A page of the administration, and the clicks that were made on it."""

    def __init__(self, page: Page) -> None:
        page.set_default_timeout(PATIENCE_MS)
        self.page, self.clicks = page, 0

    def click(self, target: Locator) -> None:
        target.click()
        self.clicks += 1

    def button(self, name: str) -> None:
        self.click(self.page.get_by_role("button", name=name, exact=True))

    def link(self, name: str | re.Pattern[str]) -> None:
        self.click(self.page.get_by_role("link", name=name, exact=isinstance(name, str)).first)

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(label).fill(text)

    def sees(self, text: str) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)

    def waits_for(self, work_off: Background) -> None:
        """The same page after what is done in the background. No page is open meanwhile: some load again by themselves,
        and the server shares its database connection with the test.
        """
        address = self.page.url
        self.page.goto("about:blank")
        work_off()
        self.page.goto(address)

    def overview(self) -> None:
        """The page on which a task begins."""
        self.page.goto(reverse("admin:index"))
        self.clicks = 0

    def open(self, request: SubjectRequest) -> None:
        """The request's page, by the menu and the queue."""
        self.overview()
        self.link(re.compile("Requests$"))
        self.link(request.reference)


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def in_work(
    env: BrowserEnvironment, journal: MemoryJournal, sent: SentPurges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regimes, an export folder, topics in memory, and the customers ann, bob and eve, of whom ann has an address."""
    seed_regimes()
    topics_in_memory(monkeypatch)
    conf = settings().model_copy(update={"export_dir": str(tmp_path / "exports")})
    monkeypatch.setattr(folder, "settings", lambda: conf)
    for customer_id in ("ann", "bob", "eve"):
        register(customer_id, "eu", "acme", since=env.now - timedelta(days=30))
    consent.give("ann", "service", notice="privacy/1/en", method="web", actor="shop")
    services.record_contact("ann", "email", "ann@example.org", SHOP)


@pytest.fixture
def background(journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch) -> Background:
    """A function that does what Celery's workers do, so many days later, until nothing is due."""

    def work_off(days_later: float = 0) -> None:
        for minute in range(6):
            now = database_now() + timedelta(days=days_later, minutes=6 * minute)
            monkeypatch.setattr(forgetting, "database_now", lambda at=now: at)
            append_due(journal)
            relay.relay_due(now)
            walk.walk_due(now)
        work.advance()
        messages.deliver_due()

    return work_off


def asked(type_: str, customer_id: str, days_ago: float = 1, **fields: bool) -> SubjectRequest:
    """A request that came so many days ago."""
    intake = Intake(type_, "gdpr", "api", customer_id, **{"attested": True} | fields)
    return services.receive(intake, SHOP, database_now() - timedelta(days=days_ago)).request


def state_of(request: SubjectRequest) -> str:
    request.refresh_from_db()
    return request.state


def downloaded(browser: Browser, live_server: object, address: str, folder_: Path) -> Path:
    """The package as the customer downloads it, in another browser that is logged in nowhere."""
    context = browser.new_context(base_url=str(live_server), accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(re.sub(r"https?://[^/]+", "", address))
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    path = folder_ / "package.zip"
    waiting.value.save_as(path)
    context.close()
    return path


def test_officers_morning(
    in_work: None,
    browser: Browser,
    live_server: object,
    log_in: LogIn,
    read: Read,
    background: Background,
    tmp_path: Path,
) -> None:
    late, access = asked("rectification", "bob", 28), asked("access", "ann", attested=False)
    erasure, again = asked("erasure", "C42"), asked("portability", "eve")
    officer, clicks = Officer(log_in("olivia")), dict[str, int]()

    officer.overview()
    officer.link(re.compile("^Due: 1 request, the first by"))
    officer.link(late.reference)
    officer.link("Assign")
    officer.button("Assign")
    officer.sees("Assigned.")
    clicks["triage"] = officer.clicks

    officer.overview()
    officer.link("1 request to verify")
    officer.link(access.reference)
    officer.link("Verify")
    officer.fill("How the customer was verified", "called back on the number on record")
    officer.button("Verified")
    officer.sees("Verified: the request is open.")
    clicks["verify"] = officer.clicks

    opened = access_to_the_package(officer, access, background, browser, live_server, tmp_path)
    clicks["access"] = officer.clicks
    assert [line["data"]["customer_id"] for line in opened.lines("registration")] == ["ann"]
    assert "C42" not in str(opened.files)
    assert state_of(access) == State.ANSWERED

    assert read()["views"]["spend"]["status"] == "present"
    officer.open(erasure)
    officer.link("Start the erasure")
    officer.fill(f"Enter {erasure.reference} to confirm", erasure.reference)
    officer.button("Start the erasure")
    clicks["erase"] = officer.clicks
    erased_to_its_end(officer, erasure, background, read)

    officer.open(late)
    officer.link("Extend")
    officer.fill("Why it needs more time", "The records are on paper.")
    officer.button("Look at the message")
    officer.sees("The records are on paper.")
    officer.button("Extend")
    officer.sees("Extended.")
    clicks["extend"] = officer.clicks
    assert late.due_at + timedelta(days=50) < SubjectRequest.objects.get(pk=late.pk).due_at

    officer.open(again)
    officer.link("Refuse")
    officer.page.get_by_label("Legal ground").select_option("excessive")
    officer.fill("Why it applies", "It is the tenth this week.")
    officer.button("Look at the message")
    officer.sees("You may lodge a complaint")
    officer.button("Refuse")
    officer.sees("It is refused. Nothing is left to do.")
    clicks["refuse"] = officer.clicks
    assert state_of(again) == State.REFUSED
    assert clicks == CLICKS


def access_to_the_package(
    officer: Officer,
    access: SubjectRequest,
    background: Background,
    browser: Browser,
    live_server: object,
    tmp_path: Path,
) -> Opened:
    """From the request's page to its answer. The link goes by e-mail, the passphrase by telephone."""
    officer.clicks = 0
    officer.link("Export the data")
    officer.button("Collect")
    officer.sees("Everything that is held about the customer is being collected.")
    officer.waits_for(background)
    officer.sees("Look through what was found")
    officer.link("Review")
    officer.click(officer.page.get_by_role("link", name="Withhold", exact=True).last)
    officer.fill("Reason", "concerns another person")
    officer.button("Withhold")
    officer.link("Release")
    officer.button("Release")
    officer.waits_for(background)
    officer.sees("Give it by telephone or letter")
    officer.link("Link and passphrase")
    officer.button("Show")
    passphrase = officer.page.get_by_label("Passphrase", exact=True).input_value()
    (message,) = [one for one in mail.outbox if "/exports/" in one.body]
    assert passphrase not in "".join(one.body for one in mail.outbox)
    officer.link("It is sent")
    officer.fill("Reason", "by telephone")
    officer.button("It is sent")
    officer.link("Answer")
    officer.button("Look at the message")
    officer.button("Answer now")
    officer.sees("Answered.")
    address = re.search(r"http\S+/exports/\S+", message.body)
    assert address is not None
    return read_package(downloaded(browser, live_server, address[0], tmp_path), passphrase)


def erased_to_its_end(officer: Officer, erasure: SubjectRequest, background: Background, read: Read) -> None:
    """The erasure's progress on the request's page, until nothing is left anywhere."""
    officer.waits_for(background)
    officer.sees("until their stated time")
    officer.sees(f"It can be closed once the customer has the answer of {erasure.reference}")
    answer = CustomerMessage.objects.get(request=erasure, kind="answer")
    officer.click(officer.page.locator("section[aria-labelledby=sent]").get_by_role("link", name="Answer"))
    officer.sees("The answer to your request")
    officer.link("It is sent")
    officer.fill("Reason", "by letter")
    officer.button("It is sent")
    officer.open(erasure)
    officer.waits_for(partial(background, days_later=1))
    officer.sees("It closes by itself after")
    assert CustomerMessage.objects.get(pk=answer.pk).text == ""
    assert state_of(erasure) == State.ANSWERED
    assert {view["status"] for view in read()["views"].values()} == {"withheld"}
    last = ErasureStep.objects.filter(erasure__request=erasure).aggregate(last=Max("gone_at"))["last"]
    officer.waits_for(partial(background, days_later=(last - database_now()).days + 1))
    officer.sees("It is closed: every location was erased and checked.")
    assert state_of(erasure) == State.CLOSED
    assert Erasure.objects.get().state == "closed"
    assert not Customer.objects.filter(customer_id="C42").exists()
