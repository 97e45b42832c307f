"""A request from the customer's form, without JavaScript, to its answer by an officer."""

import re

from django.urls import reverse
from playwright.sync_api import Browser, expect

from featurestore.clock import database_now
from featurestore.requests.form_links import FormLink, form_url
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services.verification import LAPSE_AFTER
from tests.browser.conftest import LogIn
from tests.browser.environment import BrowserEnvironment
from tests.kit.requests import seed_regimes

SAFE = re.compile(r"default-src 'none'")


def test_form_without_javascript_and_the_officers_answer(
    env: BrowserEnvironment, browser: Browser, live_server: object, log_in: LogIn
) -> None:
    seed_regimes()
    link = form_url(FormLink("gdpr", "de"), database_now() + LAPSE_AFTER, database_now()).partition("8000")[2]
    context = browser.new_context(base_url=str(live_server), java_script_enabled=False)
    form = context.new_page()
    answer = form.goto(link)
    assert answer is not None
    assert SAFE.match(answer.headers["content-security-policy"])
    form.get_by_label("Schränken Sie die Verarbeitung meiner Daten ein").check()
    form.get_by_label("Ihre Kundennummer").fill("C42")
    form.get_by_label("Was sollten wir noch wissen?").fill("Meine Adresse stimmt nicht.")
    form.get_by_role("button", name="Antrag senden").click()
    expect(form.get_by_role("heading", name="Bestätigen Sie, dass Sie es sind")).to_be_visible()
    context.close()
    request = SubjectRequest.objects.get()

    page = log_in("olivia")
    page.get_by_role("link", name="1 request to verify").click()
    page.get_by_role("link", name=request.reference).click()
    expect(page.get_by_text("Meine Adresse stimmt nicht.")).to_be_visible()
    page.get_by_role("link", name="Verify", exact=True).click()
    page.get_by_label("How the customer was verified").fill("called back")
    page.get_by_role("button", name="Verified").click()
    page.get_by_role("link", name="Answer", exact=True).click()
    expect(page.get_by_role("definition").filter(has_text="Pauses fraud, service")).to_be_visible()
    page.get_by_label("Answer to the customer").fill("Die Verarbeitung ist eingeschränkt.")
    page.get_by_label("What was done").fill("paused every purpose")
    page.get_by_role("button", name="Look at the message").click()
    expect(page.get_by_text(f"Die Antwort auf Ihren Antrag {request.reference}")).to_be_visible()
    page.get_by_role("button", name="Answer now").click()
    expect(page.get_by_text("Answered.", exact=True)).to_be_visible()
    page.get_by_role("link", name="Close", exact=True).click()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_text("Closed.", exact=True)).to_be_visible()
    page.goto(reverse("admin:customers_customer_changelist") + "?paused=yes")
    expect(page.get_by_role("link", name="C42")).to_be_visible()
