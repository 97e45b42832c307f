"""The customers' form: recorded without an account, the same for everybody, limited by address."""

import json
import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.core import mail
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from featurestore.api import hosted_form
from featurestore.clock import database_now, milliseconds
from featurestore.config import settings
from featurestore.profiles.services import register
from featurestore.requests import services
from featurestore.requests.contact_box import encrypt
from featurestore.requests.form_links import CodeLink, FormLink, code_url, form_url
from featurestore.requests.form_texts import TEXTS
from featurestore.requests.models import Language, RequestType, SubjectRequest
from featurestore.requests.services import messages
from featurestore.requests.set_backs import set_backs
from tests.kit.requests import SHOP, seed_regimes
from tests.kit.serving_environment import ServingEnvironment

FORM = "application/x-www-form-urlencoded"
UNCOMPARED = ("SAVEPOINT", "requests_requestclock")
"""Parts of statements that depend on the time alone, and on nobody."""
ASKED = {"type": "access", "customer_id": "C7", "details": "All of it.", "key": "k"}


@pytest.fixture(autouse=True)
def customer(environment: ServingEnvironment) -> None:
    seed_regimes()
    register("C7", "EU", "lamp")
    services.record_contact("C7", "email", "c7@example.org", SHOP)


def path(language: str = "en", customer_id: str = "", hours: float = 1) -> str:
    now = database_now()
    url = form_url(FormLink("gdpr", language, customer_id), now + timedelta(hours=hours), now)
    return url.removeprefix(settings().public_url)


def send(client: Client, address: str, fields: dict[str, str], **headers: str) -> HttpResponse:
    return client.post(address, urlencode(fields), content_type=FORM, headers=headers)


def text(response: HttpResponse) -> str:
    return re.sub(r'name="key" value="[^"]*"', "", response.content.decode())


@pytest.mark.parametrize("language", Language.values)
def test_form_is_shown_in_the_links_language(client: Client, language: str) -> None:
    page = client.get(path(language))
    assert page.status_code == 200
    assert f'<html lang="{language}">' in text(page)
    assert all(label in text(page) for label in TEXTS[language].types.values())
    assert set(TEXTS[language].types) == set(RequestType.values)
    assert "<script" not in text(page)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in page.headers
    assert client.head(path(language)).status_code == 200


def test_request_is_recorded_and_confirmed_by_the_code_that_is_sent(client: Client) -> None:
    first = send(client, path("de"), ASKED)
    assert first.status_code == 303
    request = SubjectRequest.objects.get()
    assert (request.channel, request.language, request.state) == ("form", "de", "received")
    assert request.reference in text(client.get(first.headers["Location"]))
    services.send_codes()
    messages.deliver_due()
    (address,) = re.findall(r"^http\S+", mail.outbox[0].body, re.MULTILINE)
    (code,) = re.findall(r"^    (\d{8})$", mail.outbox[0].body, re.MULTILINE)
    page = address.removeprefix(settings().public_url)
    wrong = send(client, page, {"action": "confirm", "code": "1"})
    assert (wrong.status_code, TEXTS["de"].wrong_code in text(wrong)) == (422, True)
    right = send(client, page, {"action": "confirm", "code": f"{code[:4]} {code[4:]}"})
    assert (right.status_code, TEXTS["de"].verified in text(right)) == (200, True)
    request.refresh_from_db()
    assert (request.state, request.verified_by) == ("open", "code")


def test_link_of_a_customer_attests(client: Client) -> None:
    page = path(customer_id="C7")
    assert 'name="customer_id"' not in text(client.get(page))
    assert send(client, page, ASKED | {"customer_id": "C8"}).status_code == 200
    request = SubjectRequest.objects.get()
    assert (request.customer_id, request.state, request.verified_by) == ("C7", "open", "attested")


def test_pages_and_steps_are_the_same_whoever_exists(client: Client) -> None:
    seen = []
    for customer_id in ("C7", "stranger"):
        with CaptureQueriesContext(connection) as queries:
            first = send(client, path(), ASKED | {"customer_id": customer_id})
            pages = [client.get(first.headers["Location"])]
            pages += [send(client, first.headers["Location"], {"action": "again"})]
            pages += [send(client, first.headers["Location"], {"action": "confirm", "code": "12345678"})]
        reference = SubjectRequest.objects.latest("pk").reference
        steps = [one["sql"][:40] for one in queries if not any(text in one["sql"] for text in UNCOMPARED)]
        seen.append(([(one.status_code, text(one).replace(reference, "")) for one in pages], steps))
        services.send_codes()
    assert seen[0] == seen[1]


def test_form_sent_twice_is_one_request(client: Client) -> None:
    page = path()
    locations = {send(client, page, ASKED).status_code for _ in range(2)}
    assert locations == {303}
    assert SubjectRequest.objects.count() == 1
    send(client, page, ASKED | {"key": "another"})
    assert SubjectRequest.objects.count() == 2


@pytest.mark.parametrize(
    "wrong",
    [{"type": "nonsense"}, {"type": ""}, {"customer_id": ""}, {"customer_id": "a\0b"}, {"customer_id": "x" * 257}],
)
def test_wrong_form_is_shown_again_with_what_was_entered(client: Client, wrong: dict[str, str]) -> None:
    page = send(client, path(), ASKED | {"details": "<b>lamp</b>"} | wrong)
    assert page.status_code == 422
    assert "&lt;b&gt;lamp&lt;/b&gt;" in text(page)
    assert not SubjectRequest.objects.exists()


@pytest.mark.parametrize("body", [b"\xff\x00=%zz", b"a=1&" * 50, b"", b"x" * 70_000])
def test_malformed_body_is_no_server_error(client: Client, body: bytes) -> None:
    response = client.post(path(), body, content_type=FORM)
    assert response.status_code in (413, 422)


def test_invalid_and_expired_links_are_one_page(client: Client) -> None:
    now = database_now()
    other = code_url(CodeLink("R-AAAA-AAAA", "en"), now + timedelta(hours=1), now)
    expired = path(hours=-1)
    wrong = ["/requests/form/x", f"/requests/form/{'x' * 3000}", expired, other.replace("/code/", "/form/")]
    pages = [client.get(address.removeprefix(settings().public_url)) for address in wrong]
    assert {(page.status_code, text(page)) for page in pages} == {(404, text(pages[0]))}
    assert send(client, expired, ASKED).status_code == 404
    assert client.put(path()).status_code == 405


def test_ten_thousand_forms_from_one_address_record_twenty(client: Client) -> None:
    """The environment's clock stands still, so all are within one window. Nothing is asked of the database for most."""
    page = path()
    found = [send(client, page, ASKED | {"key": str(n)}).status_code for n in range(hosted_form.REQUESTS_PER_WINDOW)]
    assert set(found) == {303}
    with CaptureQueriesContext(connection) as queries:
        refused = [send(client, page, ASKED | {"key": f"more {n}"}) for n in range(200)]
    assert {one.status_code for one in refused} == {429}
    assert len(queries) == 0
    assert int(refused[0].headers["Retry-After"]) > 0
    assert SubjectRequest.objects.count() == hosted_form.REQUESTS_PER_WINDOW
    other = client.post(page, urlencode(ASKED | {"key": "x"}), content_type=FORM, REMOTE_ADDR="192.0.2.9")
    assert other.status_code == 303


def test_forms_of_many_addresses_are_limited_together(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_form, "FORMS_PER_WINDOW", 50)
    page = path()
    statuses = [
        client.post(page, urlencode(ASKED | {"key": str(n)}), content_type=FORM, REMOTE_ADDR=f"192.0.2.{n}").status_code
        for n in range(60)
    ]
    assert statuses == [303] * 50 + [429] * 10


def test_what_is_stored_opens_no_form(client: Client) -> None:
    """Nobody who reads the database and sends texts can make a link: neither kind of encryption makes one."""
    later = milliseconds(database_now()) + 10**9
    forged = json.dumps(["form", later, set_backs(database_now()), "gdpr", "en", "C7"])
    send(client, path(), {"type": "access", "customer_id": "nobody", "details": forged, "key": "x"})
    stored = SubjectRequest.objects.values_list("details", flat=True).get()
    for stolen in (stored, encrypt(forged)):
        answer = send(client, f"/requests/form/{stolen.rstrip('=')}", {"type": "erasure", "details": "", "key": "y"})
        assert answer.status_code == 404
    assert not SubjectRequest.objects.filter(customer_id="C7").exists()


def test_same_form_of_two_attested_customers_is_two_requests(client: Client) -> None:
    register("C8", "EU", "lamp")
    fields = {"type": "access", "details": ""}
    first, second = (send(client, path(customer_id=customer_id), fields) for customer_id in ("C7", "C8"))
    assert first.status_code == second.status_code == 200
    reference = SubjectRequest.objects.get(customer_id="C7").reference
    assert reference not in second.content.decode()
    assert SubjectRequest.objects.filter(customer_id="C8").count() == 1
