"""Fixtures: the administration and the API in one live server on a real Redis, and a browser that logs in."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import Browser, Page
from redis import Redis

from featurestore.access import services as access
from featurestore.access.roles import CHAT_ENGINEER, PLATFORM_ENGINEER, PRIVACY_OFFICER
from featurestore.access.selectors import invalidate_credentials
from featurestore.api.handler import feature_handler
from featurestore.store import configured
from featurestore.store.redis import RedisStore
from tests.browser.environment import BrowserEnvironment

STAFF = {"olivia": PRIVACY_OFFICER, "petra": PLATFORM_ENGINEER, "chris": CHAT_ENGINEER}
VIEWPORT = {"width": 1400, "height": 900}


@pytest.fixture
def env(
    browser: Browser, transactional_db: None, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BrowserEnvironment]:
    """A vouched store with values of C42. ``browser`` comes first: it allows the ORM beside Playwright's event loop."""
    with Redis.from_url(redis_server) as redis:
        redis.flushall()
    store = RedisStore(redis_server, 1000)
    monkeypatch.setattr(configured, "store", lambda: store)
    monkeypatch.setattr(access._use_writer, "submit", lambda *_: None)  # a second connection to a database in memory
    feature_handler.cache_clear()
    invalidate_credentials()
    access.seed_roles()
    for name, role in STAFF.items():
        person = User.objects.create_user(name, password="pw", is_staff=True)
        person.groups.add(Group.objects.get(name=role))
    User.objects.create_superuser("root", password="pw")
    made = BrowserEnvironment(store)
    made.set_up()
    yield made
    store.server.close()
    feature_handler.cache_clear()
    invalidate_credentials()


LogIn = Callable[[str], Page]


@pytest.fixture
def errors() -> list[str]:
    """What the browser's console reports; it must be empty when the test ends."""
    return []


@pytest.fixture
def log_in(browser: Browser, env: BrowserEnvironment, live_server: object, errors: list[str]) -> Iterator[LogIn]:
    """A function that logs a user in and returns the page. Errors in the browser's console fail the test."""
    contexts = []

    def open_page(name: str) -> Page:
        context = browser.new_context(base_url=str(live_server), viewport=VIEWPORT)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto("/admin/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill("pw")
        page.get_by_role("button", name="Log in").click()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


Read = Callable[[], dict[str, Any]]


@pytest.fixture
def read(env: BrowserEnvironment, live_server: object) -> Read:
    """A function that reads C42 for support chat through the API, while every view is fresh."""
    bot = access.create_client("support-bot", owner="chat", actor="test")
    may = {"services": ["support_chat"], "purposes": ["service"], "scopes": ["features:read"]}
    key = access.create_key(bot, **may, actor="test")[1]
    query = {"service": "support_chat", "purpose": "service", "customer_id": "C42"}

    def ask() -> dict[str, Any]:
        env.advance_watermarks()
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.post(f"{live_server}/v1/features", json=query, headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask
