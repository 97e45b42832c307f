"""What else is logged than decisions: credentials, rights, logins, requests, settings; and never a customer's id."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction

from featurestore.access.audit_entries import log_rights, log_role
from featurestore.access.services import allow, create_client, create_key, create_secret, deactivate, revoke, rotate
from featurestore.auditlog.entries import read_content
from featurestore.auditlog.models import WaitingEntry
from featurestore.consent.services import define_purpose, publish_notice, retire_purpose
from featurestore.logins.models import LoginEvent
from featurestore.logins.services import record
from featurestore.requests.actors import staff
from featurestore.requests.erasure.holds import place_hold, release_hold
from featurestore.retention.rules import add_rule
from tests.kit.clock import at
from tests.kit.requests import RequestsEnvironment
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ALLOWANCE = {"services": ["chat"], "purposes": ["service"], "scopes": ["features:read"]}


def told(area: str) -> list[dict]:
    """The entries whose type begins so, in order."""
    texts = WaitingEntry.objects.order_by("pk").values_list("content", flat=True)
    return [one for one in map(read_content, texts) if one["type"].startswith(area)]


def types(area: str) -> list[str]:
    return [one["type"] for one in told(area)]


def test_changes_of_clients_and_credentials_are_logged_without_secrets(database: str) -> None:
    client = create_client("bot", owner="shop", actor="olivia")
    allow(client, **ALLOWANCE, actor="olivia")
    key, text = create_key(client, **ALLOWANCE, actor="olivia")
    new, _ = rotate(key, actor="olivia")
    revoke(new, actor="olivia")
    revoke(new, actor="olivia")
    _, secret = create_secret(client, actor="olivia")
    deactivate(client, actor="anton")
    assert types("api_key.") == ["api_key.created", "api_key.replaced", "api_key.created", "api_key.revoked"]
    assert types("client_secret.") == ["client_secret.created"]
    assert types("client.") == ["client.saved", "client.allowed", "client.deactivated"]
    assert [one["actor"] for one in told("client.")] == ["olivia", "olivia", "anton"]
    contents = "".join(WaitingEntry.objects.values_list("content", flat=True))
    assert text not in contents
    assert secret not in contents


def test_rights_of_staff_and_roles_are_logged_as_they_are_after_the_change(database: str) -> None:
    role = Group.objects.create(name="Privacy officer of a test")
    user = User.objects.create(username="olivia", is_superuser=True)
    user.groups.add(role)
    with transaction.atomic():
        log_rights(user, "anton")
        log_role(role, "anton")
    (saved,), (role_saved,) = told("staff."), told("role.")
    assert saved["details"]["roles"] == ["Privacy officer of a test"]
    assert saved["details"]["superuser"] is True
    assert role_saved["details"] == {"role": "Privacy officer of a test", "permissions": []}


def test_logins_are_logged_without_address_and_failed_ones_are_not(database: str) -> None:
    record(LoginEvent.Kind.LOGGED_IN, "olivia", address="192.0.2.7")
    record(LoginEvent.Kind.FAILED, "olivia", address="192.0.2.7")
    assert types("login.") == ["login.logged_in"]
    assert "192.0.2.7" not in str(told("login."))


def test_settings_of_the_administration_are_logged(database: str) -> None:
    before = len(told("purpose."))
    define_purpose("research", title="Research", lawful_basis="consent")
    publish_notice("research", 1, "en", "What we do.", ["research"])
    retire_purpose("research")
    add_rule("reads", "service", 30, at().date(), "policy 7", actor="olivia", now=at())
    assert types("purpose.")[before:] == ["purpose.defined", "purpose.retired"]
    assert told("notice.")[-1]["details"]["notice"] == "research/1/en"
    assert told("retention_rule.")[0]["details"]["effective_from"] == at().date().isoformat()


def test_requests_and_holds_are_logged_and_name_no_customer(shop: Shop) -> None:
    shop.register("C1")
    request = RequestsEnvironment(shop.store).receive()
    hold = place_hold("C1", [], "a claim", staff("olivia"))
    release_hold(hold.pk, "settled", staff("olivia"))
    entry = told("request.received")[0]
    assert entry["details"]["reference"] == request.reference
    assert types("legal_hold.") == ["legal_hold.placed", "legal_hold.released"]
    for one in (*told("request."), *told("legal_hold.")):
        assert one["subject"] == ""
        assert request.subject not in str(one)
        assert "C1" not in str(one)
