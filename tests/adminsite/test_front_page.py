"""The front page says what the process is and leads only to what it serves."""

import re
from collections.abc import Iterator

import pytest
from django.test import Client

from adminsite import front_page
from featurestore.config import Settings, settings

pytestmark = pytest.mark.django_db


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    front_page.rendered.cache_clear()
    yield monkeypatch
    front_page.rendered.cache_clear()


@pytest.mark.parametrize(
    ("serves", "links"),
    [
        ("all", ["/v1/docs", "/v1/openapi.json", "/admin/"]),
        ("api", ["/v1/docs", "/v1/openapi.json"]),
        ("admin", ["/admin/"]),
    ],
)
def test_front_page_leads_to_what_the_process_serves(
    client: Client, serve: pytest.MonkeyPatch, serves: str, links: list[str]
) -> None:
    changed: Settings = settings().model_copy(update={"serves": serves})
    serve.setattr(front_page, "settings", lambda: changed)
    page = client.get("/")
    assert page.status_code == 200
    assert "enforces consent" in page.text
    assert re.findall(r'href="([^"]*)"', page.text) == links


def test_links_of_the_front_page_answer(client: Client) -> None:
    for link in re.findall(r'href="([^"]*)"', client.get("/").text):
        assert client.get(link, follow=True).status_code == 200


def test_front_page_needs_no_script_and_no_other_host(client: Client) -> None:
    page = client.get("/")
    assert page["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<script" not in page.text
    assert "http" not in page.text
