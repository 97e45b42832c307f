"""Logins: limits per account and address over processes, what is recorded, who may enter."""

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from featurestore.logins import password_checks
from featurestore.logins.errors import PasswordChecksBusy
from featurestore.logins.models import LoginEvent, LoginLimit
from featurestore.logins.services import prune
from tests.admin.environment import AdminEnvironment

LIMITED = "Too many failed attempts"
WRONG = "The name or the password is wrong."


def attempt(name: str = "olivia", password: str = "wrong", address: str = "192.0.2.1") -> HttpResponse:
    form = {"login": name, "password": password}
    return Client(REMOTE_ADDR=address).post(reverse("account_login"), form)  # type: ignore[return-value]


def events() -> list[tuple[str, str, str | None]]:
    return list(LoginEvent.objects.order_by("pk").values_list("kind", "staff", "address"))


def test_login_opens_the_administration_and_is_recorded(env: AdminEnvironment) -> None:
    answer = attempt(password="pw")
    assert answer.headers["Location"] == reverse("admin:index")
    assert events() == [("logged_in", "olivia", "192.0.2.1")]


def test_wrong_password_and_unknown_name_answer_alike(env: AdminEnvironment) -> None:
    wrong, unknown = attempt(), attempt("nobody")
    assert WRONG in wrong.content.decode()
    assert WRONG in unknown.content.decode()
    assert wrong.status_code == unknown.status_code == 200


def test_name_that_nobody_has_is_not_recorded(env: AdminEnvironment) -> None:
    attempt("my secret passphrase")
    assert events() == [("failed", "", "192.0.2.1")]
    assert "passphrase" not in str(list(LoginLimit.objects.values_list("cache_key", "value")))


def test_sixth_failure_of_an_account_is_not_checked(env: AdminEnvironment) -> None:
    for number in range(5):
        assert WRONG in attempt(address=f"192.0.2.{number}").content.decode()
    refused = attempt(password="pw", address="192.0.2.9").content.decode()
    assert LIMITED in refused, "from any address, and with the right password"
    assert attempt("petra", "pw").status_code == 302, "another account is not affected"
    assert len(events()) == 6, "what is not checked writes no row"


def test_other_host_names_give_no_further_attempts(env: AdminEnvironment) -> None:
    form = {"login": "olivia", "password": "wrong"}
    hosts = ["localhost", "127.0.0.1", "testserver"] * 2
    answers = [Client(HTTP_HOST=host).post(reverse("account_login"), form).content.decode() for host in hosts]
    assert [LIMITED in answer for answer in answers] == [False] * 5 + [True]


def test_wait_ends_a_limit(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(6):
        attempt()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 301)
    assert attempt(password="pw").status_code == 302


def test_patient_guesser_gets_twenty_attempts_an_hour(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    start, tried = time.time(), 0
    for minute in range(60):
        monkeypatch.setattr(time, "time", lambda minute=minute: start + 60 * minute)
        tried += WRONG in attempt(address=f"192.0.2.{minute}").content.decode()
    assert tried == 20


def test_address_is_limited_over_all_names(env: AdminEnvironment) -> None:
    answers = [attempt(f"name{number}").content.decode() for number in range(21)]
    assert [LIMITED in answer for answer in answers] == [False] * 20 + [True]
    assert attempt("olivia", "pw", "198.51.100.7").status_code == 302


def test_flood_from_an_address_is_answered_429_in_the_administrations_look(env: AdminEnvironment) -> None:
    answers = [attempt("olivia", "", "192.0.2.1") for _ in range(61)]
    assert [answer.status_code for answer in answers] == [200] * 60 + [429]
    assert "Wait a minute" in answers[-1].content.decode()
    assert "rapport/admin.css" in answers[-1].content.decode()
    assert not LoginEvent.objects.exists(), "without a password nothing was checked"


def test_right_password_does_not_free_the_address(env: AdminEnvironment) -> None:
    for number in range(20):
        attempt(f"name{number}")
        if number == 10:
            assert attempt("petra", "pw").status_code == 302
    assert LIMITED in attempt("name21").content.decode()


def test_forged_forwarded_address_counts_for_the_real_one(env: AdminEnvironment) -> None:
    for number in range(21):
        client = Client(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
        answer = client.post(reverse("account_login"), {"login": f"name{number}", "password": "x"})
    assert LIMITED in answer.content.decode()


def test_proxys_client_is_counted_where_proxies_are_declared(env: AdminEnvironment, settings: Any) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    client = Client(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="203.0.113.9, 198.51.100.4")
    client.post(reverse("account_login"), {"login": "olivia", "password": "x"})
    assert events() == [("failed", "olivia", "198.51.100.4")]


def test_busy_password_checks_answer_503_with_a_time(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> bool:
        raise PasswordChecksBusy(password_checks.BUSY)

    monkeypatch.setattr(User, "check_password", refuse)
    answer = attempt(password="pw")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "Try again in a few seconds" in answer.content.decode()
    assert events() == []


def test_account_without_the_staff_status_gets_no_session(env: AdminEnvironment) -> None:
    User.objects.create_user("guest", password="pw")
    answer = attempt("guest", "pw")
    assert answer.headers["Location"] == reverse("account_inactive")
    assert "sessionid" not in answer.cookies or not Client(cookies=answer.cookies).session.get("_auth_user_id")


def test_session_ends_when_the_staff_status_is_taken(env: AdminEnvironment) -> None:
    browser = env.log_in("olivia")
    User.objects.filter(username="olivia").update(is_staff=False)
    assert browser.get(reverse("admin:index")).headers["Location"] == reverse("account_login")
    assert browser.get(reverse("account_login")).status_code == 200


def test_only_the_own_login_page_exists(env: AdminEnvironment) -> None:
    assert reverse("admin:login") == reverse("account_login")
    for path in ("signup/", "password/reset/", "login/code/", "email/"):
        assert env.log_in("root").get(f"/admin/{path}").status_code == 404


def test_login_returns_to_no_foreign_page(env: AdminEnvironment) -> None:
    form = {"login": "olivia", "password": "pw", "next": "https://example.org/"}
    assert Client().post(reverse("account_login"), form).headers["Location"] == reverse("admin:index")


def test_retention_deletes_old_events_and_counts(env: AdminEnvironment) -> None:
    attempt()
    assert LoginLimit.objects.exists()
    LoginLimit.objects.update(expires="2020-01-01T00:00Z")
    LoginEvent.objects.update(at="2020-01-01T00:00Z")
    prune()
    assert not LoginLimit.objects.exists()
    assert not LoginEvent.objects.exists()
