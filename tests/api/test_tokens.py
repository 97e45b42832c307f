"""POST /oauth/token and /oauth/revoke, and reads with a token (RFC 6749, 6750, 7009)."""

import base64
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oauth2_provider.models import AccessToken

from featurestore.access import credential_cache as access_cache
from featurestore.access import services
from featurestore.access.models import ApiClient
from featurestore.access.selectors import invalidate_credentials
from featurestore.access.services import create_client
from featurestore.api import request_cycle
from featurestore.logs import request_log
from tests.kit.api import PURPOSES, SERVICES
from tests.kit.serving_environment import NOW_MS, ServingEnvironment

GRANT = {"grant_type": "client_credentials"}
FORM = "application/x-www-form-urlencoded"
QUERY = {"service": "support_chat", "purpose": "service", "customer_id": "C42"}
EVERYTHING = "consent:write features:read purpose:fraud purpose:personalisation purpose:service"


@pytest.fixture
def bot(environment: ServingEnvironment) -> ApiClient:
    client = create_client("chat-bot", owner="chat", actor="test")
    may = {"services": SERVICES, "purposes": PURPOSES, "scopes": ["features:read", "consent:write"]}
    services.allow(client, **may, actor="test")
    return client


@pytest.fixture
def secret(bot: ApiClient) -> str:
    return services.create_secret(bot, actor="test")[1]


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


SendForm = Callable[..., HttpResponse]


@pytest.fixture
def send_form(client: Client, secret: str) -> SendForm:
    """Send a form to a path, with the client's secret if no other authorization is given."""

    def send(path: str = "/oauth/token", authorization: str | None = None, **form: str) -> HttpResponse:
        headers = {"Authorization": basic("chat-bot", secret) if authorization is None else authorization}
        body = urlencode(form or GRANT)
        return client.post(path, body, content_type=FORM, headers={k: v for k, v in headers.items() if v})

    return send


def read(client: Client, token: str, **change: str) -> HttpResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return client.post("/v1/features", json.dumps(QUERY | change), content_type="application/json", headers=headers)


def test_issued_token_reads_features(client: Client, send_form: SendForm) -> None:
    response = send_form()
    answer = response.json()
    token = answer.pop("access_token")
    assert answer == {"expires_in": 600, "token_type": "Bearer", "scope": EVERYTHING}
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Type"] == "application/json"
    assert read(client, token).status_code == 200


def test_client_secret_in_the_body_is_accepted(send_form: SendForm, secret: str) -> None:
    response = send_form(authorization="", **GRANT, client_id="chat-bot", client_secret=secret)
    assert response.status_code == 200


def test_basic_credentials_are_form_decoded_in_any_case(send_form: SendForm, secret: str) -> None:
    assert send_form(authorization=basic("chat%2Dbot", secret).replace("Basic", "bAsIc")).status_code == 200


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/token/"])
def test_empty_scope_counts_as_none_given(client: Client, secret: str, path: str) -> None:
    """RFC 6749, 3.2: a parameter without a value is treated as if it were left out."""
    form = "grant_type=client_credentials&scope=&resource="
    answer = client.post(path, form, content_type=FORM, headers={"Authorization": basic("chat-bot", secret)})
    assert (answer.status_code, answer.json()["scope"]) == (200, EVERYTHING)


def test_token_with_a_narrower_scope_may_less(client: Client, send_form: SendForm) -> None:
    answer = send_form(**GRANT, scope="purpose:service features:read").json()
    assert answer["scope"] == "purpose:service features:read"
    token = answer["access_token"]
    assert read(client, token).status_code == 200
    other = read(client, token, purpose="fraud")
    assert (other.status_code, other.json()["type"]) == (403, "urn:rapport:problem:forbidden")
    consent = {"customer_id": "C42", "purpose": "service", "decision": "withdrawn", "method": "chat"}
    headers = {"Authorization": f"Bearer {token}"}
    refused = client.post("/v1/consents", json.dumps(consent), content_type="application/json", headers=headers)
    assert refused.status_code == 403
    assert 'error="insufficient_scope", scope="consent:write"' in refused.headers["WWW-Authenticate"]
    listed = client.get("/v1/services", headers=headers).json()
    assert (listed["purposes"], [s["name"] for s in listed["services"]]) == (["service"], SERVICES)


def test_loosely_encoded_form_is_accepted_without_repeats(client: Client, secret: str) -> None:
    headers = {"Authorization": basic("chat-bot", secret)}
    form = "grant_type=client_credentials&scope=features:read purpose:service&x="
    for body, status in ((form, 200), (form + "&scope=features:read", 400), (form + "&grant_type=password", 400)):
        assert client.post("/oauth/token", body, content_type=FORM, headers=headers).status_code == status, body


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": ""}, "invalid_request"),
        ({"x": "y"}, "invalid_request"),
        ({"grant_type": "password", "username": "olivia", "password": "pw"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "x"}, "unsupported_grant_type"),
        (GRANT | {"scope": "features:read"}, "invalid_scope"),
        (GRANT | {"scope": "purpose:service"}, "invalid_scope"),
        (GRANT | {"scope": "features:read purpose:analytics"}, "invalid_scope"),
        (GRANT | {"scope": "features:read purpose:service admin"}, "invalid_scope"),
        (GRANT | {"scope": "features:read purpose:"}, "invalid_scope"),
        (GRANT | {"scope": "x" * 60_000}, "invalid_scope"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_unsupported_grant_or_scope_is_refused(send_form: SendForm, form: dict[str, str], error: str) -> None:
    response = send_form(**form)
    assert (response.status_code, response.json()["error"]) == (400, error)
    assert not AccessToken.objects.exists()


def test_client_without_permissions_gets_no_token(client: Client, environment: ServingEnvironment) -> None:
    new = create_client("new-bot", owner="chat", actor="test")
    _, text = services.create_secret(new, actor="test")
    headers = {"Authorization": basic("new-bot", text)}
    response = client.post("/oauth/token", urlencode(GRANT), content_type=FORM, headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_scope")


def wrong_clients(secret: str) -> list[tuple[str, dict[str, str]]]:
    """Authorization headers and forms that authenticate no client."""
    body = {"client_id": "chat-bot", "client_secret": secret}
    encoded = base64.b64encode(f"chat-bot:{secret}".encode()).decode()
    return [
        ("", {}),
        ("", {"client_id": "chat-bot"}),
        ("", body | {"client_secret": secret[:-1] + "x"}),
        ("", body | {"client_secret": secret.upper()}),
        ("", body | {"client_id": "Chat-bot"}),
        ("", body | {"client_secret": "\0"}),
        (basic("chat-bot", secret + "x"), {}),
        (basic("other-bot", secret), {}),
        (basic("", ""), {}),
        (basic("chat-bot", secret), {"client_id": "chat-bot", "client_secret": secret}),  # two ways at once
        ("Basic", {}),
        ("Basic ", {}),
        ("Basic %%%", {}),
        ("Basic " + base64.b64encode(b"\xff\xfe").decode(), {}),
        ("Basic " + base64.b64encode(b"no-colon").decode(), {}),
        ("Basic " + encoded[:-3], {}),
        ("Bearer " + secret, {}),
        ("Digest " + encoded, body),
        ("Basic " + "A" * 50_000, {}),
        ("\xe9\xe9", body),
    ]


@pytest.mark.parametrize("case", range(20))
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
def test_all_invalid_clients_get_the_same_answer(send_form: SendForm, secret: str, path: str, case: int) -> None:
    authorization, form = wrong_clients(secret)[case]
    response = send_form(path, authorization, **GRANT, token="x", **form)
    assert (response.status_code, response.json()) == (401, {"error": "invalid_client"})
    assert response.headers["WWW-Authenticate"] == 'Basic realm="rapport"'


def test_wrong_secret_causes_no_query(send_form: SendForm, secret: str, django_assert_num_queries: Any) -> None:
    send_form(authorization=basic("chat-bot", "x"))
    with django_assert_num_queries(0):
        for authorization, form in wrong_clients(secret):
            send_form("/oauth/token", authorization, **GRANT, **form)


def test_credentials_in_the_query_string_are_refused(client: Client, send_form: SendForm, secret: str) -> None:
    form = urlencode(GRANT | {"client_id": "chat-bot", "client_secret": secret})
    for path in ("/oauth/token?" + form, "/oauth/token?x", "/oauth/token?%zz", "/oauth/revoke?token=x"):
        response = client.post(path, form, content_type=FORM)
        assert (response.status_code, response.json()["error"]) == (400, "invalid_request"), path
    token = send_form().json()["access_token"]
    for name in ("access_token", "token", "key"):
        body = json.dumps(QUERY)
        response = client.post(f"/v1/features?{name}={token}", body, content_type="application/json")
        assert response.status_code == 401
    form = urlencode({"access_token": token})
    assert client.post("/v1/features", form, content_type=FORM).status_code == 401, "nor in a form (RFC 6750, 2.2)"


def test_revoked_token_is_refused_at_once(client: Client, send_form: SendForm) -> None:
    token, other = (send_form().json()["access_token"] for _ in range(2))
    assert read(client, token).status_code == 200
    for hint in ({}, {"token_type_hint": "access_token"}, {"token_type_hint": "nonsense"}):
        response = send_form("/oauth/revoke", token=token, **hint)
        assert (response.status_code, response.content) == (200, b""), "a repeat too"
    assert read(client, token).status_code == 401, "a replayed revoked token"
    assert read(client, other).status_code == 200


def test_client_cannot_revoke_another_clients_token(
    client: Client, send_form: SendForm, environment: ServingEnvironment
) -> None:
    token = send_form().json()["access_token"]
    other = create_client("other-bot", owner="shop", actor="test")
    _, text = services.create_secret(other, actor="test")
    assert send_form("/oauth/revoke", basic("other-bot", text), token=token).status_code == 200
    assert read(client, token).status_code == 200


def test_revoking_an_unknown_token_succeeds(send_form: SendForm) -> None:
    assert send_form("/oauth/revoke", token="x" * 5000).status_code == 200
    assert send_form("/oauth/revoke", x="y").json()["error"] == "invalid_request"
    assert (
        send_form("/oauth/revoke", token="x", token_type_hint="refresh_token").json()["error"]
        == "unsupported_token_type"
    )


def test_expired_token_is_refused(client: Client, send_form: SendForm, monkeypatch: pytest.MonkeyPatch) -> None:
    token = send_form().json()["access_token"]
    monkeypatch.setattr(request_cycle, "now_ms", lambda: NOW_MS + 599_000)
    assert read(client, token).status_code == 200
    monkeypatch.setattr(request_cycle, "now_ms", lambda: NOW_MS + 600_000)
    assert read(client, token).status_code == 401


def test_inactive_client_is_refused(client: Client, send_form: SendForm, bot: ApiClient) -> None:
    token = send_form().json()["access_token"]
    bot.active = False
    services.save_client(bot, actor="test")
    assert read(client, token).status_code == 401
    assert send_form().status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer  ", "bearer x y", "Basic x", "Token {}", "{}", "Bearer {},Bearer {}",
     "Bearer {}x", "Bearer " + "A" * 60_000, "Bearer \xe9", "Bearer rat_", "Bearer {} {}"],
)  # fmt: skip
def test_malformed_authorization_header_is_refused(client: Client, send_form: SendForm, header: str) -> None:
    token = send_form().json()["access_token"]
    headers = {"Authorization": header.replace("{}", token)}
    response = client.post("/v1/features", json.dumps(QUERY), content_type="application/json", headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="rapport"' + (header and ', error="invalid_token"')


def test_token_endpoint_refuses_other_methods_and_large_bodies(client: Client, send_form: SendForm) -> None:
    for method in (client.get, client.put, client.delete):
        response = method("/oauth/token")
        assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    too_large = client.post("/oauth/token", b"x" * 70_000, content_type=FORM)
    assert (too_large.status_code, too_large.json()["type"]) == (413, "urn:rapport:problem:too-large")


@pytest.mark.parametrize("path", ["authorize/", "introspect/", "applications/", "register/", "device-authorization/"])
def test_other_endpoints_of_the_toolkit_are_404(client: Client, path: str) -> None:
    assert client.get(f"/oauth/{path}").status_code == 404
    assert client.post(f"/oauth/{path}").status_code == 404


def test_unavailable_database_issues_no_token(send_form: SendForm, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError

    invalidate_credentials()
    monkeypatch.setattr(access_cache, "read_keys", fail)
    response = send_form()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    invalidate_credentials()


def test_log_has_no_secret_and_no_token(
    client: Client,
    send_form: SendForm,
    secret: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    token = send_form().json()["access_token"]
    read(client, token)
    send_form("/oauth/revoke", token=token)
    read(client, token)
    send_form(authorization=basic("chat-bot", secret + "x"))
    send_form(authorization="", **GRANT, client_id="chat-bot", client_secret=secret + "y")
    request_log.flush()
    logged = caplog.text + capfd.readouterr().err
    assert logged.count("chat-bot") >= 3, "the client is logged"
    assert secret[17:] not in logged
    assert token[17:] not in logged


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"grant_type={text}".encode()),
       authorization=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60))  # fmt: skip
def test_no_request_causes_a_server_error(client: Client, bot: ApiClient, body: bytes, authorization: str) -> None:
    for path in ("/oauth/token", "/oauth/revoke"):
        response = client.post(path, body, content_type=FORM, headers={"Authorization": authorization})
        assert response.status_code in (400, 401)
        assert "error" in response.json()
