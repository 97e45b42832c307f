"""Clients and keys on their pages: a key's text is shown once, and trust is not handed on."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from featurestore.access.models import ApiClient, ApiKey
from featurestore.access.selectors import credential, forget_keys
from featurestore.access.services import entrust
from tests.admin.shop import Shop

KEY = {"scopes": ["features:read"], "services": ["support_chat"], "purposes": ["service"], "days": "90"}
NOW_MS = 1_800_000_000_000


def address(model: str, page: str, *key: Any) -> str:
    return reverse(f"admin:access_{model}_{page}", args=key)


@pytest.fixture
def petra(shop: Shop) -> Client:
    return shop.browse("petra")


@pytest.fixture
def bot(shop: Shop) -> ApiClient:
    return shop.key()[0].client


def test_a_client_is_made_changed_and_switched_off(shop: Shop, petra: Client) -> None:
    made = {"name": "sales-bot", "owner": "shop team", "description": "", "active": "on"}
    assert petra.post(address("apiclient", "add"), made).status_code == 302
    client = ApiClient.objects.get(name="sales-bot")
    assert petra.post(address("apiclient", "change", client.pk), {"name": "x", "owner": "web team"}).status_code == 302
    client.refresh_from_db()
    assert (client.name, client.owner, client.active) == ("sales-bot", "web team", False)


@pytest.mark.parametrize("name", ["", "Sales", "a b", "support-bot", "x" * 65, "a@b"])
def test_client_names_that_can_not_be(petra: Client, bot: ApiClient, name: str) -> None:
    page = petra.post(address("apiclient", "add"), {"name": name, "owner": "x"})
    assert page.status_code == 200
    assert page.context["errors"]


def test_a_key_is_shown_once(shop: Shop, petra: Client, bot: ApiClient) -> None:
    page = petra.post(address("apiclient", "create_key", bot.pk), KEY)
    text, key = page.context["text"], ApiKey.objects.latest("pk")
    assert "no-store" in page.headers["Cache-Control"]
    assert text in page.content.decode()
    forget_keys()
    assert credential(text, NOW_MS).key_id == key.key_id  # type: ignore[union-attr]
    secret = text.rpartition("_")[2]
    for again in (
        address("apiclient", "change", bot.pk), address("apikey", "change", key.pk), address("apikey", "changelist"),
        address("apikey", "history", key.pk), address("apiclient", "create_key", bot.pk),
    ):  # fmt: skip
        assert secret not in petra.get(again).content.decode()
    assert not any(secret in str(value) for value in petra.session.values())


@pytest.mark.parametrize(
    "change",
    [{"scopes": []}, {"scopes": ["all"]}, {"purposes": []}, {"purposes": ["x"]}, {"services": ["x"]}, {"days": "9999"}],
    ids=str,
)
def test_keys_that_can_not_be(petra: Client, bot: ApiClient, change: dict[str, Any]) -> None:
    page = petra.post(address("apiclient", "create_key", bot.pk), KEY | change)
    assert page.context["form"].errors
    assert ApiKey.objects.count() == 1


def test_what_the_service_refuses_is_said(petra: Client, bot: ApiClient) -> None:
    page = petra.post(address("apiclient", "create_key", bot.pk), KEY | {"services": []})
    assert "and the services too" in page.content.decode()


def test_rotate_and_revoke(petra: Client, bot: ApiClient) -> None:
    old = bot.keys.get()
    page = petra.post(address("apikey", "rotate", old.pk))
    heir = bot.keys.exclude(pk=old.pk).get()
    assert page.context["text"].startswith(f"rap_{heir.key_id}_")
    assert petra.post(address("apikey", "revoke", heir.pk)).status_code == 302
    heir.refresh_from_db()
    assert heir.revoked_at is not None
    assert petra.post(address("apikey", "rotate", heir.pk)).status_code == 403, "it has ended"
    for query, count in (({"state": "revoked"}, 1), ({"state": "live"}, 1), ({"state": "soon"}, 1), ({}, 2)):
        assert petra.get(address("apikey", "changelist"), query).context["cl"].result_count == count, query
    assert petra.get(address("apikey", "changelist"), {"q": heir.key_id}).context["cl"].result_count == 1


def test_an_officer_looks_and_does_not_touch(shop: Shop, bot: ApiClient) -> None:
    olivia, key = shop.browse("olivia"), bot.keys.get()
    for page in (
        address("apiclient", "create_key", bot.pk), address("apiclient", "entrust", bot.pk),
        address("apikey", "rotate", key.pk), address("apikey", "revoke", key.pk),
    ):  # fmt: skip
        assert olivia.get(page).status_code == 403
        assert olivia.post(page, KEY).status_code == 403
    assert ApiKey.objects.filter(revoked_at=None).count() == 1


def test_trust_renews_keys_and_widens_nothing(shop: Shop, petra: Client, bot: ApiClient) -> None:
    chris, key, (other, _) = shop.browse("chris"), bot.keys.get(), shop.key("sales-bot")
    person = User.objects.get(username="chris")
    assert petra.post(address("apiclient", "entrust", bot.pk), {"staff": [person.pk]}).status_code == 302
    assert [figure.name for figure in chris.get(reverse("admin:index")).context["clients"]] == ["support-bot"]
    assert chris.post(address("apiclient", "create_key", bot.pk), KEY).status_code == 403
    assert chris.post(address("apiclient", "entrust", bot.pk), {"staff": [person.pk]}).status_code == 403
    assert chris.post(address("apikey", "rotate", other.pk)).status_code == 403
    assert chris.post(address("apiclient", "change", other.client.pk), {"owner": "chris"}).status_code in (302, 403)
    assert ApiClient.objects.get(name="sales-bot").owner == "chat"
    assert "text" in chris.post(address("apikey", "rotate", key.pk)).context
    assert chris.post(address("apikey", "revoke", key.pk)).status_code == 302
    assert petra.post(address("apiclient", "entrust", bot.pk), {"staff": []}).status_code == 302
    assert chris.get(address("apiclient", "changelist")).status_code == 403


def test_an_entrusted_engineer_sees_one_client(shop: Shop, bot: ApiClient) -> None:
    chris, key, (other, _) = shop.browse("chris"), bot.keys.get(), shop.key("sales-bot")
    entrust(bot, User.objects.get(username="chris"), actor="petra")
    assert chris.get(address("apiclient", "changelist")).context["cl"].result_count == 1
    assert chris.get(address("apikey", "changelist")).context["cl"].result_count == 1
    assert chris.get(address("apiclient", "change", bot.pk)).status_code == 200
    assert chris.get(address("apikey", "change", key.pk)).status_code == 200
    for page in (address("apiclient", "change", other.client.pk), address("apikey", "change", other.pk)):
        assert chris.get(page).status_code == 302, "not found, for chris"
    assert chris.get(address("apiclient", "add")).status_code == 403
