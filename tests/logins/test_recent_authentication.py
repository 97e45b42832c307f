"""Recent authentication: no page changes anything for a session that showed its password long ago."""

import re
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from featurestore.access.models import ApiKey
from featurestore.consent.models import ConsentRecord
from featurestore.logins.models import LoginEvent
from tests.admin.environment import AdminEnvironment
from tests.kit.logins import log_in

OLD_S = 3600
HARMLESS = re.compile(r"_(changelist|history|reads|items|autocomplete)$")
"""Pages that change nothing: lists have no bulk actions here, and ``reads`` only sends on."""


def pages(env: AdminEnvironment) -> Iterator[str]:
    """Every page of every model, with an object of it."""
    env.secret()
    env.finding()
    env.dead_letter()
    env.access_record()
    env.erasure()
    env.export()
    env.eviction_run()
    env.emergency()
    env.retention_run()
    LoginEvent.objects.create(kind="failed")
    env.subject_request()
    env.log_verification()
    env.tree_head_place()
    env.give("C42")
    env.log_entries()
    for model, model_admin in admin.site._registry.items():
        row = model._default_manager.order_by("pk").first()
        assert row is not None, model
        for pattern in model_admin.urls:
            if not pattern.name or HARMLESS.search(pattern.name):
                continue
            names = pattern.pattern.converters
            yield reverse(f"admin:{pattern.name}", kwargs={n: "service" if n == "purpose" else row.pk for n in names})


def test_every_change_asks_again(env: AdminEnvironment) -> None:
    browser, asked, refused = log_in("root", age_s=OLD_S), 0, 0
    for page in dict.fromkeys(pages(env)):
        answer = browser.post(page, {})
        if answer.status_code == 302 and answer.headers["Location"].startswith(reverse("account_reauthenticate")):
            asked += 1
        else:
            assert answer.status_code in (302, 403, 404, 405), page
            assert answer.status_code != 302 or "/change/" not in answer.headers["Location"], page
            refused += 1
    assert asked > 25


def test_session_that_never_showed_a_password_is_asked(env: AdminEnvironment) -> None:
    browser = Client()
    browser.force_login(User.objects.get(username="olivia"))
    page = reverse("admin:customers_customer_withdraw", args=[env.customers["C42"].pk, "service"])
    assert browser.get(page).headers["Location"].startswith(reverse("account_reauthenticate"))


def test_withdrawal_asks_before_the_form_opens(env: AdminEnvironment) -> None:
    browser = log_in("olivia", age_s=OLD_S)
    page = reverse("admin:customers_customer_withdraw", args=[env.customers["C42"].pk, "service"])
    assert browser.get(reverse("admin:customers_customer_changelist")).status_code == 200, "seeing asks for nothing"
    asked = browser.get(page)
    wrong = browser.post(asked.headers["Location"], {"password": "wrong"})
    assert wrong.status_code == 200
    assert browser.get(page).status_code == 302
    shown = browser.post(asked.headers["Location"], {"password": "pw", "next": page})
    assert shown.headers["Location"] == page
    assert browser.get(page).status_code == 200
    assert ConsentRecord.objects.count() == 1


def test_posted_form_is_not_kept_while_it_asks(env: AdminEnvironment) -> None:
    browser = log_in("root", age_s=OLD_S)
    form = {"username": "new", "password1": "Correct-horse-1", "password2": "Correct-horse-1"}
    browser.post(reverse("admin:auth_user_add"), form)
    assert "Correct-horse-1" not in str(dict(browser.session.items()))
    assert not User.objects.filter(username="new").exists()


def test_key_and_role_change_need_it(env: AdminEnvironment) -> None:
    key, _ = env.key()
    browser, keys = log_in("root", age_s=OLD_S), ApiKey.objects.count()
    browser.post(reverse("admin:access_apiclient_create_key", args=[key.client.pk]), {"days": "30"})
    role = Group.objects.get(name="Chat engineer")
    before = role.permissions.count()
    browser.post(reverse("admin:auth_group_change", args=[role.pk]), {"name": role.name, "permissions": []})
    assert ApiKey.objects.count() == keys
    assert role.permissions.count() == before


@pytest.mark.parametrize("method", ["password", "mfa"])
def test_either_proof_lasts_for_ten_minutes(env: AdminEnvironment, method: str) -> None:
    page = reverse("admin:customers_customer_withdraw", args=[env.customers["C42"].pk, "service"])
    assert log_in("olivia", method, age_s=590).get(page).status_code == 200
    assert log_in("olivia", method, age_s=610).get(page).status_code == 302


def test_another_users_proof_in_the_session_does_not_count(env: AdminEnvironment) -> None:
    browser = log_in("olivia")
    session = browser.session
    session["account_authentication_methods_user"] = str(User.objects.get(username="petra").pk)
    session.save()
    page = reverse("admin:customers_customer_withdraw", args=[env.customers["C42"].pk, "service"])
    assert browser.get(page).status_code == 302
