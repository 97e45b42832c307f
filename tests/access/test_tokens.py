"""Access tokens and client secrets: two secrets at a time, revoked at once, no query for a made-up token."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oauth2_provider.models import AccessToken

from featurestore.access import services
from featurestore.access.credential_cache import credential_cache
from featurestore.access.errors import KeyEnded, TooManySecrets, WrongAllowance, WrongLifetime
from featurestore.access.keys import digest_of, expiry_ms, is_signed, key_id_of, new_token
from featurestore.access.models import ApiClient, ClientSecret
from featurestore.access.oauth import ClientValidator
from featurestore.access.scopes import SCOPE_DESCRIPTIONS, Scope
from featurestore.access.selectors import Credential, Rejection, client_credential, credential, invalidate_credentials
from featurestore.access.services import create_client

MAY = {"services": ["support_chat"], "purposes": ["service", "fraud"], "scopes": ["features:read", "consent:write"]}
LIFETIME_S = 600


@pytest.fixture(autouse=True)
def no_last_use_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services._use_writer, "submit", lambda *_: None)  # a second connection to a database in memory


@pytest.fixture
def allowed_bot(bot: ApiClient) -> ApiClient:
    services.allow(bot, **MAY, actor="test")
    return bot


@pytest.fixture
def secret(allowed_bot: ApiClient) -> tuple[ClientSecret, str]:
    return services.create_secret(allowed_bot, actor="test")


def get_token(secret: str, now_ms: int, scope: str = "features:read purpose:service") -> str:
    """A token, stored as the endpoint stores it."""
    found = client_credential("support-bot", secret, now_ms)
    assert isinstance(found, Credential)
    validator = ClientValidator(now_ms, {}, lambda credential: None)
    validator.credential = found
    request: Any = SimpleNamespace(expires_in=LIFETIME_S, client=ApiClient.objects.get(name=found.client))
    text = validator.token_text(request)
    token = {"access_token": text, "expires_in": LIFETIME_S, "scope": scope}
    validator.save_bearer_token(token, request)
    return text


def test_token_allows_what_it_was_issued_for(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    token = get_token(secret[1], now_ms)
    assert credential(token, now_ms) == Credential(
        secret[0].key_id,
        "support-bot",
        frozenset({"support_chat"}),
        frozenset({"service"}),
        frozenset({"features:read"}),
        1_000,
    )


def test_database_stores_no_token(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    token = get_token(secret[1], now_ms)
    row = AccessToken.objects.get()
    assert row.token_checksum == digest_of(token)
    assert row.token == token[:17] == f"rat_{secret[0].key_id}_"
    assert token[17:] not in repr(vars(row))


def test_secret_is_stored_as_a_hash_and_authenticates_no_request(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    assert secret[0].digest == digest_of(secret[1])
    assert secret[1][17:] not in repr(vars(secret[0]))
    assert credential(secret[1], now_ms) is Rejection.WRONG


def test_key_gets_no_token(allowed_bot: ApiClient, now_ms: int) -> None:
    _, key = services.create_key(allowed_bot, **MAY, actor="test")
    assert client_credential("support-bot", key, now_ms) is Rejection.WRONG


@pytest.mark.parametrize("client_id", ["", "sales-bot", "Support-bot", "support-bot\0", "é"])
def test_secret_belongs_to_one_client(secret: tuple[ClientSecret, str], now_ms: int, client_id: str) -> None:
    create_client("sales-bot", owner="sales", actor="test")
    assert client_credential(client_id, secret[1], now_ms) is Rejection.WRONG


def test_expired_token_is_rejected_without_a_query(
    secret: tuple[ClientSecret, str], now_ms: int, django_assert_num_queries: Any
) -> None:
    token = get_token(secret[1], now_ms)
    end_ms = expiry_ms(token)
    assert end_ms == (now_ms // 1000 + LIFETIME_S) * 1000
    assert isinstance(credential(token, end_ms - 1), Credential)
    assert credential(token, end_ms) is Rejection.EXPIRED
    invalidate_credentials()
    credential("", now_ms)
    with django_assert_num_queries(0):
        assert credential(token, end_ms) is Rejection.EXPIRED, "also by a process that has not read it"


def test_new_token_works_with_an_older_snapshot(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    credential("", now_ms)
    token = get_token(secret[1], now_ms)
    assert isinstance(credential(token, now_ms), Credential)


def test_cached_token_costs_one_query(
    secret: tuple[ClientSecret, str], now_ms: int, django_assert_num_queries: Any
) -> None:
    token = get_token(secret[1], now_ms)
    with django_assert_num_queries(1):
        for _ in range(20):
            assert isinstance(credential(token, now_ms), Credential)


def test_repeated_revoked_token_costs_one_query(
    secret: tuple[ClientSecret, str], now_ms: int, django_assert_num_queries: Any
) -> None:
    token = get_token(secret[1], now_ms)
    assert services.revoke_tokens(secret[0].client, actor="test") == 1
    credential("", now_ms)
    with django_assert_num_queries(1):
        for _ in range(20):
            assert credential(token, now_ms) is Rejection.REVOKED


def test_tokens_in_use_are_read_again_together(
    secret: tuple[ClientSecret, str], now_ms: int, django_assert_num_queries: Any
) -> None:
    tokens = [get_token(secret[1], now_ms) for _ in range(5)]
    for token in tokens:
        assert isinstance(credential(token, now_ms), Credential)
    credential_cache.invalidate()
    with django_assert_num_queries(3):  # keys, secrets, tokens
        for token in tokens:
            assert isinstance(credential(token, now_ms), Credential)
    assert services.revoke_tokens(secret[0].client, actor="test") == 5
    assert [credential(token, now_ms) for token in tokens] == [Rejection.REVOKED] * 5


def test_made_up_tokens_cost_no_query(
    secret: tuple[ClientSecret, str], now_ms: int, django_assert_num_queries: Any
) -> None:
    token = get_token(secret[1], now_ms)
    later = f"{token[:17]}{int(token[17:25], 16) + 1:08x}{token[25:]}"
    wrongs = [
        token[:-1] + ("0" if token[-1] != "0" else "1"),  # another signature
        token[:30] + ("0" if token[30] != "0" else "1") + token[31:],  # another token with this signature
        later,  # a later expiry
        token.upper(),
        token + " ",
        "rat_" + "0" * 69,
        new_token(secret[0].key_id, now_ms // 1000 + 60, b"another installation's"),
    ]
    credential("", now_ms)
    with django_assert_num_queries(0):
        for wrong in wrongs:
            assert credential(wrong, now_ms) is Rejection.WRONG, wrong


def test_signed_token_that_was_not_issued_is_rejected(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    forged = new_token(secret[0].key_id, now_ms // 1000 + 60, credential_cache.signing_key)
    assert credential(forged, now_ms) is Rejection.REVOKED, "a stolen signing key can only cause queries"


def test_tokens_are_revoked_with_their_secret(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    other, text = services.create_secret(secret[0].client, actor="test")
    tokens = [get_token(secret[1], now_ms), get_token(text, now_ms)]
    services.revoke(secret[0], actor="test")
    assert [type(credential(token, now_ms)) for token in tokens] == [Rejection, Credential]
    assert client_credential("support-bot", secret[1], now_ms) is Rejection.REVOKED
    assert AccessToken.objects.get().token.startswith(f"rat_{other.key_id}")


def test_token_issued_during_the_revocation_of_its_secret_is_rejected(
    secret: tuple[ClientSecret, str], now_ms: int
) -> None:
    token = get_token(secret[1], now_ms)
    ClientSecret.objects.update(revoked_at=datetime.now(UTC))  # committed by another process before the token's row
    invalidate_credentials()
    assert credential(token, now_ms) is Rejection.REVOKED


def test_tokens_outlive_their_expired_secret(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    token = get_token(secret[1], now_ms)
    ClientSecret.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    invalidate_credentials()
    assert client_credential("support-bot", secret[1], now_ms) is Rejection.EXPIRED
    assert isinstance(credential(token, now_ms), Credential)


def test_tokens_of_an_inactive_client_are_rejected(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    token, client = get_token(secret[1], now_ms), secret[0].client
    client.active = False
    services.save_client(client, actor="test")
    assert credential(token, now_ms) is Rejection.INACTIVE
    assert client_credential("support-bot", secret[1], now_ms) is Rejection.INACTIVE


def test_tokens_of_a_deleted_client_are_rejected(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    token = get_token(secret[1], now_ms)
    secret[0].client.delete()
    invalidate_credentials()
    assert credential(token, now_ms) is Rejection.REVOKED
    assert not AccessToken.objects.exists()


def test_narrower_client_narrows_existing_tokens(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    token = get_token(secret[1], now_ms, "features:read consent:write purpose:service purpose:fraud")
    may = {"services": ["support_chat"], "purposes": ["fraud", "analytics"], "scopes": ["features:read"]}
    services.allow(secret[0].client, **may, actor="test")
    found = credential(token, now_ms)
    assert isinstance(found, Credential)
    assert (found.purposes, found.scopes) == ({"fraud"}, {"features:read"}), "a wider client does not widen them"


def test_client_has_two_working_secrets_at_most(
    secret: tuple[ClientSecret, str], allowed_bot: ApiClient, now_ms: int
) -> None:
    old, old_text = secret
    new, new_text = services.rotate_secret(old, actor="test")
    assert isinstance(client_credential("support-bot", old_text, now_ms), Credential)
    assert isinstance(client_credential("support-bot", new_text, now_ms), Credential)
    after_ms = now_ms + int(services.OVERLAP.total_seconds() * 1000) + 1000
    assert client_credential("support-bot", old_text, after_ms) is Rejection.EXPIRED
    for third in (
        lambda: services.create_secret(allowed_bot, actor="test"),
        lambda: services.rotate_secret(new, actor="t"),
    ):
        with pytest.raises(TooManySecrets):
            third()
    assert ClientSecret.objects.get(pk=new.pk).expires_at > old.expires_at, "a refused rotation changes nothing"
    services.revoke(old, actor="test")
    services.create_secret(allowed_bot, actor="test")
    with pytest.raises(KeyEnded):
        services.rotate_secret(old, actor="test")


@pytest.mark.parametrize("days", [-1, 0, 400])
def test_secret_with_an_invalid_lifetime_is_refused(allowed_bot: ApiClient, days: int) -> None:
    with pytest.raises(WrongLifetime):
        services.create_secret(allowed_bot, actor="test", expires_at=datetime.now(UTC) + timedelta(days=days))
    assert not allowed_bot.secrets.exists()


@pytest.mark.parametrize("change", [{"purposes": []}, {"scopes": []}, {"scopes": ["all"]}, {"services": []}], ids=str)
def test_invalid_allowance_of_a_client_is_refused(allowed_bot: ApiClient, change: dict[str, Any]) -> None:
    with pytest.raises(WrongAllowance):
        services.allow(allowed_bot, **MAY | change, actor="test")
    allowed_bot.refresh_from_db()
    assert allowed_bot.scopes == sorted(MAY["scopes"])


def test_expired_tokens_are_deleted(secret: tuple[ClientSecret, str], now_ms: int) -> None:
    for _ in range(2):
        get_token(secret[1], now_ms)
    gone = AccessToken.objects.earliest("pk")
    AccessToken.objects.filter(pk=gone.pk).update(expires=datetime.now(UTC) - timedelta(seconds=1))
    services.prune()
    assert AccessToken.objects.get().pk != gone.pk


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(text=st.text(max_size=200))
def test_arbitrary_text_is_not_signed(text: str) -> None:
    assert not is_signed(text, credential_cache.signing_key)


def test_every_scope_has_a_description() -> None:
    assert SCOPE_DESCRIPTIONS.keys() == set(Scope)


def test_token_names_the_secret_that_it_was_issued_for() -> None:
    token = new_token("0123456789ab", 1_800_000_000, b"key")
    assert is_signed(token, b"key")
    assert (key_id_of(token), expiry_ms(token), len(token)) == ("0123456789ab", 1_800_000_000_000, 73)
