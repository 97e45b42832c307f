"""The public page that verifies documents: for everybody, in three languages, limited; it keeps and logs nothing."""

import json
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from django.http import HttpResponse
from django.test import Client

from featurestore.api import verification
from featurestore.api.verification_texts import TEXTS
from featurestore.auditlog.document_proofs import published_keys
from featurestore.auditlog.log_verifier import Head, Note
from featurestore.auditlog.models import TreeHead
from featurestore.auditlog.services import sequence, sign_due, signed_document
from featurestore.auditlog.signing_keys import signing_pairs
from featurestore.clock import database_now
from featurestore.requests.models import Language
from tests.kit.serving_environment import ServingEnvironment

TEXT = {"says": "<b>canary é</b>"}


@pytest.fixture(autouse=True)
def signed(environment: ServingEnvironment) -> dict[str, Any]:
    now = database_now()
    assert signed_document("consent_receipt", TEXT, subject="s1", actor="Staff S", now=now) is None
    sequence()
    assert sign_due(now + timedelta(hours=1)) is not None
    found = signed_document("consent_receipt", TEXT, subject="s1", actor="Staff S", now=now)
    assert found is not None
    return found


def send(client: Client, document: str, query: str = "", **options: Any) -> HttpResponse:
    body = urlencode({"document": document})
    return client.post(f"/verify{query}", body, content_type="application/x-www-form-urlencoded", **options)


@pytest.mark.parametrize("language", Language.values)
def test_document_is_verified_in_the_language_of_the_address(
    client: Client, signed: dict[str, Any], language: str
) -> None:
    query = f"?language={language}"
    page = client.get(f"/verify{query}")
    assert (page.status_code, page.headers["Cache-Control"], "Set-Cookie" in page.headers) == (200, "no-store", False)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert f'<html lang="{language}">' in page.content.decode()
    answer = send(client, json.dumps(signed, indent=3), query)
    shown = answer.content.decode()
    assert answer.status_code == 200
    assert all(text in unescape(shown) for text in (TEXTS[language].holds, TEXTS[language].kinds["consent_receipt"]))
    assert str(published_keys()[0][0]) in unescape(shown)
    assert "canary" in shown
    assert "<b>" not in shown


def test_browser_chooses_the_language_and_others_read_english(client: Client) -> None:
    assert b'lang="de">' in client.get("/verify", headers={"Accept-Language": "de-AT,de;q=0.9"}).content
    assert b'<html lang="en">' in client.get("/verify?language=fr").content


def test_forged_truncated_and_empty_documents_are_told(client: Client, signed: dict[str, Any]) -> None:
    texts = TEXTS[Language.ENGLISH]
    forged, whole = json.dumps(signed | {"document": {"says": "more"}}), json.dumps(signed)
    for document, told in ((forged, texts.refused), (whole[:-9], texts.unreadable), ("", texts.unreadable)):
        answer = send(client, document)
        assert (answer.status_code, told in unescape(answer.content.decode())) == (422, True)
    assert send(client, "x" * 70_000).status_code == 413
    many = urlencode([("document", "x")] * 9)
    assert client.post("/verify", many, content_type="application/x-www-form-urlencoded").status_code == 422


def test_tree_head_that_the_key_signed_and_the_log_does_not_have_is_refused(
    client: Client, signed: dict[str, Any]
) -> None:
    proof, _, checkpoint = signed["proof"].partition("\n\n")
    head = Head.parse(Note.parse(checkpoint).text)
    stolen = signing_pairs()[0].sign(head._replace(at_ms=head.at_ms - 1).text)
    answer = send(client, json.dumps(signed | {"proof": f"{proof}\n\n{stolen}"}))
    assert answer.status_code == 422
    assert "The log has no such tree head" in answer.content.decode()
    assert TreeHead.objects.filter(pk=head.size).exists()


def test_nothing_of_a_document_is_logged(client: Client, signed: dict[str, Any]) -> None:
    with structlog.testing.capture_logs() as logged:
        send(client, json.dumps(signed))
        send(client, json.dumps(signed | {"document": {}}) + "canary")
    assert "canary" not in str(logged)


def test_keys_are_published_one_a_line(client: Client) -> None:
    answer = client.get("/verify/keys")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.content.decode().splitlines() == [key for key, _ in published_keys()]
    assert client.post("/verify/keys").status_code == 405


def test_each_address_and_all_together_are_limited(
    client: Client, signed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "REQUESTS_PER_WINDOW", 2)
    monkeypatch.setattr(verification, "VERIFICATIONS_PER_WINDOW", 3)
    found = [send(client, "{}", REMOTE_ADDR=f"192.0.2.{n}").status_code for n in (1, 1, 1, 2, 3, 4)]
    assert found == [422, 422, 429, 422, 429, 429]
    assert client.get("/verify/keys", REMOTE_ADDR="192.0.2.1").status_code == 429
