"""Every page of the administration in a browser that reports what the content security policy forbids."""

import re
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import expect

from featurestore.customers.models import Customer
from featurestore.ingest import dead_letter_topic
from tests.admin.environment import AdminEnvironment
from tests.browser.conftest import LogIn
from tests.browser.environment import BrowserEnvironment
from tests.kit.dead_letter_topic import InMemoryDeadLetterTopic

REPORT = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`));
"""


def pages(env: BrowserEnvironment) -> Iterator[str]:
    """Addresses of every model's pages, and of every page that asks for a confirmation; not of downloads."""
    yield reverse("admin:index")
    yield reverse("admin:password_change")
    yield reverse("mfa_index")
    yield reverse("mfa_activate_totp")
    yield reverse("mfa_add_webauthn")
    yield reverse("mfa_list_webauthn")
    yield reverse("account_reauthenticate")
    for model, model_admin in admin.site._registry.items():
        for pattern in model_admin.urls:
            row = model._default_manager.first()
            if not pattern.name or pattern.name.endswith(("autocomplete", "_search", "_proof")):
                continue
            assert row is not None, model
            values = {name: "service" if name == "purpose" else row.pk for name in pattern.pattern.converters}
            yield reverse(f"admin:{pattern.name}", kwargs=values)


def test_no_page_breaks_the_content_security_policy(
    env: BrowserEnvironment, log_in: LogIn, errors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead_letters = InMemoryDeadLetterTopic()
    monkeypatch.setattr(dead_letter_topic, "connect", dead_letters.connect)
    rows = AdminEnvironment(env.store, dead_letters, {"C42": Customer.objects.get(customer_id="C42")})  # type: ignore[arg-type]
    rows.secret()
    rows.finding()
    rows.dead_letter()
    rows.access_record()
    rows.erasure()
    rows.export()
    rows.eviction_run()
    rows.emergency()
    rows.log_entries()
    rows.log_verification(1)
    rows.tree_head_place()
    rows.retention_run()
    rows.subject_request()
    page = log_in("root")
    page.add_init_script(REPORT)
    seen = []
    for address in dict.fromkeys(pages(env)):
        answer = page.goto(address)
        assert answer is not None
        seen.append(address)
        assert answer.status in (200, 403, 404), (address, answer.status)
        assert page.evaluate("window.violations") == [], address
        if answer.status == 200:
            assert "'unsafe-inline'" not in answer.headers["content-security-policy"].partition("style-src-attr")[0]
    assert len(seen) > 40
    assert [error for error in errors if "Failed to load resource" not in error] == []
    errors.clear()  # the pages that answer 403


def test_injected_script_does_not_run(log_in: LogIn, errors: list[str]) -> None:
    page = log_in("root")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.evaluate("const s = document.createElement('script'); s.text = 'window.ran = 2'; document.body.append(s)")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p x-data x-init=\"window.ran = 3\"></p>')")
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert len([error for error in errors if "Content Security Policy" in error]) >= 2
    errors.clear()


def test_menus_work_without_eval(log_in: LogIn) -> None:
    page = log_in("root")
    page.goto(reverse("admin:access_apikey_changelist"))
    page.get_by_text("Filters").first.click()
    expect(page.get_by_text("By state").first).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("[x-data*=openUserLinks]").first.click()
    page.get_by_text("Dark", exact=True).click()
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    menu = page.get_by_role("link", name="Customers")
    expect(menu).to_be_visible()
    page.get_by_text("dock_to_right").locator("visible=true").click()
    expect(menu).to_be_hidden()
    page.reload()
    expect(menu).to_be_hidden()
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    page.keyboard.press("Control+k")
    search = page.get_by_placeholder("Type to search")
    search.press_sequentially("Purpo")
    found = page.locator("#command-results-list").get_by_text("Purposes")
    expect(found.first).to_be_visible()
    search.press("ArrowDown")
    search.press("Enter")
    page.wait_for_url("**/consent/purpose/")
