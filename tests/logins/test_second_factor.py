"""Second factors: who needs one, setting up, codes used once, recovery codes, a lost one."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from featurestore.access.models import ApiClient
from featurestore.access.services import assign_client
from featurestore.logins.errors import SecondFactorUnreadable
from featurestore.logins.models import LoginEvent
from featurestore.logins.secret_box import SecretBox
from tests.admin.environment import AdminEnvironment
from tests.kit.logins import code_of, log_in

INDEX = reverse("admin:index")


def set_up_app(name: str) -> str:
    secret = generate_totp_secret()
    TOTP.activate(User.objects.get(username=name), secret)
    return secret


def enter(name: str) -> Client:
    client = Client()
    client.post(reverse("account_login"), {"login": name, "password": "pw"})
    return client


@pytest.mark.parametrize(("name", "needed"), [("root", True), ("olivia", True), ("petra", True), ("chris", False)])
def test_roles_that_see_customers_must_set_one_up(staff: AdminEnvironment, name: str, needed: bool) -> None:
    answer = log_in(name).get(INDEX)
    assert (answer.status_code == 302) is needed
    if needed:
        assert answer.headers["Location"] == reverse("mfa_index")
        page = log_in(name).get(reverse("mfa_index")).content.decode()
        assert "a password is not enough" in page
        assert reverse("admin:customers_customer_changelist") not in page or name == "petra"


def test_assigned_client_makes_one_needed(staff: AdminEnvironment) -> None:
    staff.key()
    assign_client(ApiClient.objects.get(), User.objects.get(username="chris"), actor="petra")
    assert log_in("chris").get(INDEX).headers["Location"] == reverse("mfa_index")


def test_optional_second_factor_asks_nobody(env: AdminEnvironment) -> None:
    assert log_in("olivia").get(INDEX).status_code == 200


def test_every_page_is_closed_without_one(staff: AdminEnvironment) -> None:
    browser = log_in("olivia")
    pages = ["admin:customers_customer_changelist", "admin:jsi18n", "admin:password_change", "admin:autocomplete"]
    for page in pages:
        assert browser.get(reverse(page)).headers["Location"] == reverse("mfa_index"), page
    assert browser.post(reverse("admin:logout")).status_code == 200


def test_password_and_code_open_the_administration(staff: AdminEnvironment) -> None:
    secret = set_up_app("olivia")
    browser = enter("olivia")
    assert browser.get(INDEX).status_code == 302, "the password alone opens nothing"
    wrong = browser.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert "Incorrect code" in wrong.content.decode()
    browser.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert browser.get(INDEX).status_code == 200


def test_code_works_once(staff: AdminEnvironment) -> None:
    secret = set_up_app("olivia")
    code = code_of(secret)
    first, second = enter("olivia"), enter("olivia")
    assert first.post(reverse("mfa_authenticate"), {"code": code}).status_code == 302
    assert second.post(reverse("mfa_authenticate"), {"code": code}).status_code == 200
    assert second.get(INDEX).status_code == 302


def test_codes_are_guessed_five_times_only(staff: AdminEnvironment) -> None:
    secret = set_up_app("olivia")
    browser = enter("olivia")
    for number in range(5):
        browser.post(reverse("mfa_authenticate"), {"code": f"{number:06}"})
    refused = browser.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert "Too many failed attempts" in refused.content.decode()
    assert enter("olivia").get(INDEX).status_code == 302


def test_session_from_before_must_show_it(staff: AdminEnvironment) -> None:
    browser = log_in("olivia")
    secret = set_up_app("olivia")
    asked = browser.get(INDEX)
    assert asked.headers["Location"].startswith(reverse("mfa_reauthenticate"))
    shown = browser.post(asked.headers["Location"], {"code": code_of(secret), "next": INDEX})
    assert shown.headers["Location"] == INDEX
    assert browser.get(INDEX).status_code == 200


def test_recovery_code_works_once_and_is_encrypted(staff: AdminEnvironment) -> None:
    set_up_app("olivia")
    codes = RecoveryCodes.activate(User.objects.get(username="olivia")).get_unused_codes()
    assert enter("olivia").post(reverse("mfa_authenticate"), {"code": codes[0]}).status_code == 302
    assert enter("olivia").post(reverse("mfa_authenticate"), {"code": codes[0]}).status_code == 200
    assert enter("olivia").post(reverse("mfa_authenticate"), {"code": codes[1]}).status_code == 302


def test_database_holds_no_readable_factor(staff: AdminEnvironment) -> None:
    secret = set_up_app("olivia")
    RecoveryCodes.activate(User.objects.get(username="olivia"))
    stored = [str(one.data) for one in Authenticator.objects.all()]
    assert len(stored) == 2
    assert all("gAAAA" in one for one in stored), "Fernet's first bytes"
    assert secret not in str(stored)


def test_changed_secret_key_is_told_and_opens_nothing(staff: AdminEnvironment) -> None:
    set_up_app("olivia")
    encrypted = SecretBox("another key").encrypt("ABC")
    Authenticator.objects.update(data={"secret": encrypted})
    answer = enter("olivia").post(reverse("mfa_authenticate"), {"code": "123456"})
    assert answer.status_code == 503
    assert "manage.py reset_second_factor" in answer.content.decode()
    with pytest.raises(SecondFactorUnreadable):
        SecretBox("a key").decrypt(encrypted)


def test_superuser_resets_a_lost_one(staff: AdminEnvironment) -> None:
    set_up_app("olivia")
    lost = log_in("olivia", "password", "mfa")
    assert lost.get(INDEX).status_code == 200
    olivia = User.objects.get(username="olivia")
    root = log_in("root", "password", "mfa")
    page = reverse("admin:auth_user_reset_factor", args=[olivia.pk])
    assert "This field is required" in root.post(page, {}).content.decode()
    root.post(page, {"reason": "showed her badge"})
    assert not Authenticator.objects.filter(user=olivia).exists()
    event = LoginEvent.objects.get()
    assert (event.kind, event.staff, event.actor, event.detail) == (
        "factor_reset", "olivia", "root", "showed her badge",
    )  # fmt: skip
    assert lost.get(INDEX).headers["Location"].startswith(reverse("account_login")), "her sessions have ended"
    assert root.get(INDEX).status_code == 200


@pytest.mark.parametrize("name", ["olivia", "petra", "chris"])
def test_no_other_role_resets_one(staff: AdminEnvironment, name: str) -> None:
    set_up_app("root")
    page = reverse("admin:auth_user_reset_factor", args=[User.objects.get(username="root").pk])
    answer = log_in(name, "password", "mfa").post(page, {"reason": "x"})
    assert answer.status_code in (302, 403)
    assert Authenticator.objects.exists()


def test_own_one_is_not_reset(staff: AdminEnvironment) -> None:
    set_up_app("root")
    page = reverse("admin:auth_user_reset_factor", args=[User.objects.get(username="root").pk])
    log_in("root", "password", "mfa").post(page, {"reason": "x"})
    assert Authenticator.objects.exists()


def test_command_resets_the_only_superusers(staff: AdminEnvironment, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_app("root")
    log_in("root", "password", "mfa")
    call_command("reset_second_factor", "root", reason="at the console")
    assert "deleted: 1" in capsys.readouterr().out
    assert not Authenticator.objects.exists()
    assert not Session.objects.exists()
    assert LoginEvent.objects.get().actor == "manage.py"
    with pytest.raises(CommandError, match="no staff member nobody"):
        call_command("reset_second_factor", "nobody", reason="x")


def test_changes_of_ones_own_factors_are_recorded(
    staff: AdminEnvironment, django_capture_on_commit_callbacks: Any
) -> None:
    browser = log_in("olivia")
    with django_capture_on_commit_callbacks(execute=True):
        page = browser.get(reverse("mfa_activate_totp"))
        code = code_of(page.context["form"].secret)
        assert browser.post(reverse("mfa_activate_totp"), {"code": code}).status_code == 302
    with django_capture_on_commit_callbacks(execute=True):
        browser.post(reverse("mfa_deactivate_totp"))
    assert list(LoginEvent.objects.order_by("pk").values_list("kind", "detail")) == [
        ("factor_added", "app"), ("factor_removed", "app"),
    ]  # fmt: skip
