"""Admin pages of clients, keys, secrets and tokens: a secret is shown once, an assignment can not be passed on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from oauth2_provider.models import AccessToken, set_token_value

from featurestore.access.models import ApiClient, ApiKey, ClientSecret
from featurestore.access.selectors import Credential, client_credential, credential, invalidate_credentials
from featurestore.access.services import assign_client, create_secret
from tests.admin.environment import AdminEnvironment

KEY = {"scopes": ["features:read"], "services": ["support_chat"], "purposes": ["service"], "days": "90"}
NOW_MS = 1_800_000_000_000


def address(model: str, page: str, *key: Any) -> str:
    return reverse(f"admin:access_{model}_{page}", args=key)


@pytest.fixture
def petra(env: AdminEnvironment) -> Client:
    return env.log_in("petra")


@pytest.fixture
def bot(env: AdminEnvironment) -> ApiClient:
    return env.key()[0].client


def test_client_is_created_changed_and_deactivated(env: AdminEnvironment, petra: Client) -> None:
    made = {"name": "sales-bot", "owner": "shop team", "description": "", "active": "on"}
    assert petra.post(address("apiclient", "add"), made).status_code == 302
    client = ApiClient.objects.get(name="sales-bot")
    assert petra.post(address("apiclient", "change", client.pk), {"name": "x", "owner": "web team"}).status_code == 302
    client.refresh_from_db()
    assert (client.name, client.owner, client.active) == ("sales-bot", "web team", False)


@pytest.mark.parametrize("name", ["", "Sales", "a b", "support-bot", "x" * 65, "a@b"])
def test_invalid_client_names_are_refused(petra: Client, bot: ApiClient, name: str) -> None:
    page = petra.post(address("apiclient", "add"), {"name": name, "owner": "x"})
    assert page.status_code == 200
    assert page.context["errors"]


def test_key_is_shown_once(env: AdminEnvironment, petra: Client, bot: ApiClient) -> None:
    page = petra.post(address("apiclient", "create_key", bot.pk), KEY)
    text, key = page.context["text"], ApiKey.objects.latest("pk")
    assert "no-store" in page.headers["Cache-Control"]
    assert text in page.content.decode()
    invalidate_credentials()
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
def test_invalid_key_forms_are_refused(petra: Client, bot: ApiClient, change: dict[str, Any]) -> None:
    page = petra.post(address("apiclient", "create_key", bot.pk), KEY | change)
    assert page.context["form"].errors
    assert ApiKey.objects.count() == 1


def test_refusal_of_the_service_is_shown(petra: Client, bot: ApiClient) -> None:
    page = petra.post(address("apiclient", "create_key", bot.pk), KEY | {"services": []})
    assert "and the services too" in page.content.decode()


def test_key_is_rotated_and_revoked(petra: Client, bot: ApiClient) -> None:
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


def test_officer_can_not_change_keys(env: AdminEnvironment, bot: ApiClient) -> None:
    olivia, key = env.log_in("olivia"), bot.keys.get()
    for page in (
        address("apiclient", "create_key", bot.pk), address("apiclient", "assign_staff", bot.pk),
        address("apikey", "rotate", key.pk), address("apikey", "revoke", key.pk),
    ):  # fmt: skip
        assert olivia.get(page).status_code == 403
        assert olivia.post(page, KEY).status_code == 403
    assert ApiKey.objects.filter(revoked_at=None).count() == 1


def test_assigned_engineer_renews_keys_and_widens_nothing(env: AdminEnvironment, petra: Client, bot: ApiClient) -> None:
    chris, key, (other, _) = env.log_in("chris"), bot.keys.get(), env.key("sales-bot")
    person = User.objects.get(username="chris")
    assert petra.post(address("apiclient", "assign_staff", bot.pk), {"staff": [person.pk]}).status_code == 302
    assert [figure.name for figure in chris.get(reverse("admin:index")).context["clients"]] == ["support-bot"]
    assert chris.post(address("apiclient", "create_key", bot.pk), KEY).status_code == 403
    assert chris.post(address("apiclient", "assign_staff", bot.pk), {"staff": [person.pk]}).status_code == 403
    assert chris.post(address("apikey", "rotate", other.pk)).status_code == 403
    assert chris.post(address("apiclient", "change", other.client.pk), {"owner": "chris"}).status_code in (302, 403)
    assert ApiClient.objects.get(name="sales-bot").owner == "chat"
    assert "text" in chris.post(address("apikey", "rotate", key.pk)).context
    assert chris.post(address("apikey", "revoke", key.pk)).status_code == 302
    assert petra.post(address("apiclient", "assign_staff", bot.pk), {"staff": []}).status_code == 302
    assert chris.get(address("apiclient", "changelist")).status_code == 403


def test_assigned_engineer_sees_one_client(env: AdminEnvironment, bot: ApiClient) -> None:
    chris, key, (other, _) = env.log_in("chris"), bot.keys.get(), env.key("sales-bot")
    assign_client(bot, User.objects.get(username="chris"), actor="petra")
    assert chris.get(address("apiclient", "changelist")).context["cl"].result_count == 1
    assert chris.get(address("apikey", "changelist")).context["cl"].result_count == 1
    assert chris.get(address("apiclient", "change", bot.pk)).status_code == 200
    assert chris.get(address("apikey", "change", key.pk)).status_code == 200
    for page in (address("apiclient", "change", other.client.pk), address("apikey", "change", other.pk)):
        assert chris.get(page).status_code == 302, "not found, for chris"
    assert chris.get(address("apiclient", "add")).status_code == 403


ALLOWANCE = {"scopes": ["features:read"], "services": ["support_chat"], "purposes": ["service"]}


def get_tokens(client: ApiClient, count: int = 1) -> None:
    for n in range(count):
        row = AccessToken(application=client, scope="features:read", expires=datetime.now(UTC) + timedelta(minutes=5))
        set_token_value(row, f"{client.name}-{n}")
        row.save()


def test_secret_is_shown_once(petra: Client, bot: ApiClient) -> None:
    page = petra.post(address("apiclient", "create_secret", bot.pk), {"days": "90"})
    text, secret = page.context["text"], ClientSecret.objects.get()
    assert text.startswith(f"ras_{secret.key_id}_")
    assert text in page.content.decode()
    assert "no-store" in page.headers["Cache-Control"]
    assert timedelta(days=89) < secret.expires_at - datetime.now(UTC) < timedelta(days=91)
    found = client_credential("support-bot", text, NOW_MS)
    assert isinstance(found, Credential)
    for again in (
        address("apiclient", "change", bot.pk), address("clientsecret", "change", secret.pk),
        address("clientsecret", "changelist"), address("clientsecret", "history", secret.pk),
    ):  # fmt: skip
        assert text[17:] not in petra.get(again).content.decode()


def test_secret_is_rotated_and_the_old_one_revoked(petra: Client, bot: ApiClient) -> None:
    old, _ = create_secret(bot, actor="test")
    page = petra.post(address("clientsecret", "rotate", old.pk))
    heir = bot.secrets.exclude(pk=old.pk).get()
    assert page.context["text"].startswith(f"ras_{heir.key_id}_")
    again = petra.post(address("clientsecret", "rotate", heir.pk))
    assert "has 2 working secrets" in again.content.decode()
    assert petra.post(address("apiclient", "create_secret", bot.pk), {"days": "30"}).context["form"].errors
    assert petra.post(address("clientsecret", "revoke", old.pk)).status_code == 302
    old.refresh_from_db()
    assert old.revoked_at is not None
    assert petra.post(address("clientsecret", "rotate", old.pk)).status_code == 403, "it has ended"
    for query, count in (({"state": "revoked"}, 1), ({"state": "live"}, 1), ({"q": heir.key_id}, 1), ({}, 2)):
        assert petra.get(address("clientsecret", "changelist"), query).context["cl"].result_count == count, query


def test_token_scope_accepts_only_known_names(petra: Client, bot: ApiClient) -> None:
    page = address("apiclient", "allow", bot.pk)
    assert petra.post(page, ALLOWANCE).status_code == 302
    bot.refresh_from_db()
    assert (bot.scopes, bot.services, bot.purposes) == (["features:read"], ["support_chat"], ["service"])
    assert petra.get(page).context["form"].initial["services"] == ["support_chat"]
    for change in ({"scopes": ["all"]}, {"purposes": ["x"]}, {"services": ["x"]}, {"services": []}, {"purposes": []}):
        assert petra.post(page, ALLOWANCE | change).context["form"].errors, change


def test_saving_a_client_keeps_its_token_scope(petra: Client, bot: ApiClient) -> None:
    petra.post(address("apiclient", "allow", bot.pk), ALLOWANCE)
    assert petra.post(address("apiclient", "change", bot.pk), {"owner": "web", "active": "on"}).status_code == 302
    bot.refresh_from_db()
    assert (bot.owner, bot.purposes) == ("web", ["service"])


def test_live_tokens_are_counted_and_revoked_together(env: AdminEnvironment, petra: Client, bot: ApiClient) -> None:
    other = env.key("sales-bot")[0].client
    page = address("apiclient", "revoke_tokens", bot.pk)
    assert petra.post(page).status_code == 403, "there is none"
    get_tokens(bot, 25)
    get_tokens(other)
    shown = petra.get(address("apiclient", "change", bot.pk)).content.decode()
    assert "25 valid; the latest 20 are listed" in shown
    assert petra.post(page).status_code == 302
    assert [token.application for token in AccessToken.objects.all()] == [other]


def test_roles_and_assignment_limit_secrets_and_tokens(env: AdminEnvironment, bot: ApiClient) -> None:
    secret, _ = create_secret(bot, actor="test")
    get_tokens(bot)
    pages = {
        "create": address("apiclient", "create_secret", bot.pk),
        "allow": address("apiclient", "allow", bot.pk),
        "tokens": address("apiclient", "revoke_tokens", bot.pk),
        "rotate": address("clientsecret", "rotate", secret.pk),
        "revoke": address("clientsecret", "revoke", secret.pk),
    }
    for name in ("olivia", "chris"):
        browser = env.log_in(name)
        assert {browser.post(page, ALLOWANCE | {"days": "30"}).status_code for page in pages.values()} == {403}
    assign_client(bot, User.objects.get(username="chris"), actor="petra")
    chris = env.log_in("chris")
    assert [chris.post(pages[what], ALLOWANCE | {"days": "30"}).status_code for what in pages] == [
        403,
        403,
        302,
        200,
        302,
    ]
    assert bot.secrets.count() == 2
    assert chris.get(address("clientsecret", "changelist")).context["cl"].result_count == 2


@pytest.mark.parametrize("model", ["application", "accesstoken", "refreshtoken", "grant", "idtoken"])
def test_oauth_toolkit_models_have_no_pages(env: AdminEnvironment, model: str) -> None:
    assert env.log_in("root").get(f"/admin/oauth2_provider/{model}/").status_code == 404
