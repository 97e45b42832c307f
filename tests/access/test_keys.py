"""API keys: created, shown once, revoked, rotated, expired, and rejected in constant time."""

import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from django.db import OperationalError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.access import credential_cache as access_cache
from featurestore.access import services
from featurestore.access.credential_cache import credential_cache
from featurestore.access.errors import AccessError, KeyEnded, KeysUnavailable, WrongAllowance, WrongLifetime, WrongName
from featurestore.access.keys import digest_of, key_id_of
from featurestore.access.models import ApiClient, ApiKey
from featurestore.access.selectors import Credential, Rejection, credential, invalidate_credentials

MAY = {"services": ["support_chat"], "purposes": ["service"], "scopes": ["features:read"], "actor": "test"}


def test_key_is_shown_once_and_stored_as_a_hash(bot: ApiClient, now_ms: int) -> None:
    key, text = services.create_key(bot, **MAY)
    assert text.startswith(f"rap_{key.key_id}_")
    assert len(text) == 4 + 12 + 1 + 48
    assert key.digest == digest_of(text)
    assert text[17:] not in repr(vars(key)), "the secret is not in the row"
    assert credential(text, now_ms) == Credential(
        key.key_id,
        "support-bot",
        frozenset({"support_chat"}),
        frozenset({"service"}),
        frozenset({"features:read"}),
        1_000,
    )


def test_wrong_keys_are_rejected(bot: ApiClient, now_ms: int) -> None:
    _, text = services.create_key(bot, **MAY)
    swapped = text[:-1] + ("0" if text[-1] != "0" else "1")
    for wrong in ("", "rap_", swapped, text + "0", text[:-1], text.upper(), "rap_000000000000_" + "0" * 48, "é" * 70):
        assert credential(wrong, now_ms) is Rejection.WRONG


def test_revocation_takes_effect_at_once_and_keeps_its_date(bot: ApiClient, now_ms: int) -> None:
    key, text = services.create_key(bot, **MAY)
    services.revoke(key, actor="test")
    assert credential(text, now_ms) is Rejection.REVOKED
    first = key.revoked_at
    services.revoke(key, actor="test")
    assert key.revoked_at == first


def test_expired_key_is_rejected(bot: ApiClient, now_ms: int) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    _, text = services.create_key(bot, **MAY, expires_at=soon)
    assert isinstance(credential(text, now_ms), Credential)
    assert credential(text, int(soon.timestamp() * 1000) + 1) is Rejection.EXPIRED


def test_key_that_expired_long_ago_counts_as_wrong(bot: ApiClient, now_ms: int) -> None:
    key, text = services.create_key(bot, **MAY)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=datetime.now(UTC) - timedelta(days=31))
    invalidate_credentials()
    assert credential(text, now_ms) is Rejection.WRONG


def test_keys_of_an_inactive_client_are_rejected(bot: ApiClient, now_ms: int) -> None:
    _, text = services.create_key(bot, **MAY)
    bot.active = False
    services.save_client(bot, actor="test")
    assert credential(text, now_ms) is Rejection.INACTIVE
    bot.active = True
    services.save_client(bot, actor="test")
    assert isinstance(credential(text, now_ms), Credential)


def test_rotated_key_works_for_an_overlap(bot: ApiClient, now_ms: int) -> None:
    key, old = services.create_key(bot, **MAY)
    successor, new = services.rotate(key, actor="test")
    assert (successor.services, successor.purposes, successor.scopes) == (key.services, key.purposes, key.scopes)
    assert isinstance(credential(old, now_ms), Credential)
    assert isinstance(credential(new, now_ms), Credential)
    after_ms = now_ms + int(services.OVERLAP.total_seconds() * 1000) + 1000
    assert credential(old, after_ms) is Rejection.EXPIRED
    assert isinstance(credential(new, after_ms), Credential)
    services.revoke(key, actor="test")
    with pytest.raises(KeyEnded):
        services.rotate(key, actor="test")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"services": []}, WrongAllowance),
        ({"services": "support_chat"}, WrongAllowance),
        ({"services": ["*"]}, WrongAllowance),
        ({"purposes": []}, WrongAllowance),
        ({"purposes": ["Service!"]}, WrongAllowance),
        ({"scopes": []}, WrongAllowance),
        ({"scopes": ["features:write"]}, WrongAllowance),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, WrongLifetime),
        ({"expires_at": datetime(2990, 1, 1, tzinfo=UTC)}, WrongLifetime),
    ],
)
def test_invalid_keys_are_refused(bot: ApiClient, change: dict[str, Any], error: type[AccessError]) -> None:
    with pytest.raises(error):
        services.create_key(bot, **{**MAY, **change})
    assert not bot.keys.exists()


def test_key_for_consent_alone_needs_no_service(bot: ApiClient) -> None:
    key, _ = services.create_key(bot, **{**MAY, "services": [], "scopes": ["consent:write"]})
    assert key.services == []


@pytest.mark.parametrize("name", ["", "Bot", "a b", "-x", "x" * 65, "support-bot", "jane@example.org", "bot\n"])
def test_invalid_client_names_are_refused(bot: ApiClient, name: str) -> None:
    with pytest.raises(WrongName):
        services.create_client(name, owner="", actor="test")


def test_keys_are_cached_for_two_seconds(bot: ApiClient, now_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    key, text = services.create_key(bot, **MAY)
    assert isinstance(credential(text, now_ms), Credential)
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=datetime.now(UTC))  # as another process would
    start_s = credential_cache._snapshot.read_s
    monkeypatch.setattr(time, "monotonic", lambda: start_s + 1.999)
    assert isinstance(credential(text, now_ms), Credential)
    monkeypatch.setattr(time, "monotonic", lambda: start_s + 2)
    assert credential(text, now_ms) is Rejection.REVOKED


def test_cached_keys_need_no_query(bot: ApiClient, now_ms: int, django_assert_num_queries: Any) -> None:
    _, text = services.create_key(bot, **MAY)
    with django_assert_num_queries(2):  # keys, secrets
        for wrong in range(20):
            credential(f"rap_{wrong:012}_", now_ms)
            credential(text, now_ms)


def test_wrong_key_takes_the_same_steps_as_a_right_one(
    bot: ApiClient, now_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text is looked up by its digest: how nearly right it is, or whether its id exists, changes no step."""
    _, text = services.create_key(bot, **MAY)
    _, secret = services.create_secret(bot, actor="test")
    credential(text, now_ms)
    steps: list[str] = []

    def counted(function: Any) -> Any:
        def step(*arguments: Any) -> Any:
            steps.append(function.__name__)
            return function(*arguments)

        return step

    for function in (access_cache.digest_of, access_cache.is_signed, access_cache.read_tokens):
        monkeypatch.setattr(access_cache, function.__name__, counted(function))
    for wrong in (text[:-1] + "x", text + "0", "rap_000000000000_x", "", "Bearer", secret, "x" * 50_000):
        assert credential(wrong, now_ms) is Rejection.WRONG
    for wrong in ("rat_", "rat_" + text[4:], "rat_" + "x" * 69, "rat_" + "x" * 50_000):
        assert credential(wrong, now_ms) is Rejection.WRONG
    credential(text, now_ms)
    assert steps == ["digest_of"] * 7 + ["digest_of", "is_signed"] * 4 + ["digest_of"]


def test_last_use_is_stored_by_the_hour(bot: ApiClient, now_ms: int, django_assert_num_queries: Any) -> None:
    key, _ = services.create_key(bot, **MAY)
    hour = datetime.fromtimestamp(now_ms // 3_600_000 * 3600, UTC)
    for used_at in (hour, hour - timedelta(hours=1)):
        services._write_use(key.key_id, used_at)
        key.refresh_from_db()
        assert key.last_used_at == hour
    with django_assert_num_queries(2):  # a key's or a secret's id
        services._write_use(key.key_id, hour)


def test_no_request_waits_for_the_write_of_the_last_use(
    now_ms: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    locked, tried = threading.Event(), []

    def slow(**_: Any) -> NoReturn:
        tried.append(threading.current_thread())
        locked.wait(10)
        raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setattr(ApiKey, "objects", SimpleNamespace(filter=lambda *_, **__: SimpleNamespace(update=slow)))
    started_s = time.perf_counter()
    for _ in range(3):
        services.record_use("0123456789ab", now_ms)
    assert time.perf_counter() - started_s < 5
    locked.set()
    services._use_writer.submit(lambda: None).result(10)  # it runs after the write
    assert len(tried) == 1, "one write a key, hour and process"
    assert threading.current_thread() not in tried
    assert "last use of a key not written" in caplog.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(text=st.text(max_size=200))
def test_arbitrary_text_is_rejected(now_ms: int, text: str) -> None:
    assert len(key_id_of(text)) <= 12
    assert credential(text, now_ms) is Rejection.WRONG


def test_absent_database_is_tried_by_one_request_at_a_time(
    bot: ApiClient, now_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[None] = []

    def away() -> None:
        tried.append(None)
        raise OperationalError

    with monkeypatch.context() as broken:
        broken.setattr(access_cache, "read_keys", away)
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                credential("rap_", now_ms)
        with credential_cache._reading, pytest.raises(KeysUnavailable, match="slow"):
            credential("rap_", now_ms)
    assert len(tried) == 1
    credential_cache.invalidate()
    assert credential("rap_", now_ms) is Rejection.WRONG
