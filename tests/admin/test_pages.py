"""Every page of every registered model: which roles see it, and malformed addresses."""

from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.urls import reverse

from featurestore.auditlog.models import EntryContent
from featurestore.logins.models import LoginEvent
from tests.admin.environment import AdminEnvironment, text_of

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
OFFICER = {
    "accesslog.AccessGap", "accesslog.AccessRecord",
    "access.ApiClient", "access.ApiKey", "access.ClientSecret", "consent.ConsentRecord", "consent.Notice",
    "consent.PermissionChange", "consent.Purpose", "ingest.DeadLetter", "audit.AuditRun", "audit.Finding",
    "auditlog.EntryContent", "auditlog.HeadDestination", "auditlog.LogVerification",
    "customers.Customer", "customers.LegalHold", "customers.Suppression", "erasure.Erasure", "exports.DataExport",
    "logins.LoginEvent",
    "requests.SubjectRequest", "requests.CustomerMessage", "requests.Regime", "requests.RegimeRule", "requests.Holiday",
    "retention.EvictionRun", "retention.RetentionRule", "retention.RetentionRun",
    "staffreads.EmergencyAccess",
}  # fmt: skip
APPS = [
    "access", "accesslog", "audit", "auditlog", "auth", "consent", "customers", "erasure", "ingest", "logins",
    "requests", "retention", "staffreads",
]  # fmt: skip
REQUESTS = {model for model in OFFICER if model.startswith("requests.")}
SEEN = {
    "root": OFFICER | {"auth.User", "auth.Group"},
    "olivia": OFFICER,
    "petra": OFFICER
    - REQUESTS
    - {"logins.LoginEvent", "accesslog.AccessRecord", "consent.ConsentRecord", "customers.Customer"}
    - {"customers.LegalHold", "customers.Suppression", "erasure.Erasure", "exports.DataExport"}
    - {"auditlog.EntryContent", "retention.RetentionRule", "retention.RetentionRun", "staffreads.EmergencyAccess"},
    "chris": {"consent.Notice", "consent.Purpose"},
    "iris": {"requests.SubjectRequest"},
    "anton": REQUESTS
    | {"auditlog.EntryContent", "auditlog.LogVerification"}
    | {"customers.Customer", "erasure.Erasure", "exports.DataExport"},
}
LOOKING = {"root", "olivia", "petra"}
"""Who may view customers' values, by right or in an emergency."""
ADDED_REQUESTS = {"requests.SubjectRequest", "requests.RegimeRule", "requests.Holiday"}
ADDED = {
    "root": {"access.ApiClient", "auth.Group", "auth.User", "consent.Notice", "consent.Purpose"} | ADDED_REQUESTS,
    "olivia": {"consent.Notice", "consent.Purpose"} | ADDED_REQUESTS,
    "petra": {"access.ApiClient"},
    "chris": set(),
    "iris": {"requests.SubjectRequest"},
    "anton": set(),
}


def address(model: type[Model], page: str, *key: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=key)


@pytest.fixture
def full_env(env: AdminEnvironment) -> AdminEnvironment:
    """One row of every model."""
    env.secret()
    env.finding()
    env.dead_letter()
    env.access_record()
    env.erasure()
    env.export()
    env.eviction_run()
    env.emergency()
    env.retention_run()
    env.log_verification()
    env.tree_head_place()
    LoginEvent.objects.create(kind="failed")
    env.subject_request()
    env.give("C42")
    env.log_entries()
    return env


def label(model: type[Model]) -> str:
    return model._meta.label


@pytest.mark.parametrize("name", SEEN)
def test_roles_see_only_their_pages(full_env: AdminEnvironment, name: str) -> None:
    browser = full_env.log_in(name)
    for model in MODELS:
        row = model._default_manager.first()
        assert row is not None
        pages = [address(model, "changelist"), address(model, "change", row.pk), address(model, "history", row.pk)]
        seen = {browser.get(page).status_code for page in pages}
        assert seen <= ({200} if label(model) in SEEN[name] else {403, 302}), label(model)  # 302: not found, for them
        added = browser.get(address(model, "add")).status_code
        assert added == (200 if label(model) in ADDED[name] else 403), label(model)


def test_no_page_deletes(full_env: AdminEnvironment) -> None:
    """Not even a superuser's. What the roles may post is in test_every_address.py."""
    browser = full_env.log_in("root")
    for model in MODELS:
        row = model._default_manager.first()
        assert row is not None
        if model._meta.app_label != "auth":
            assert browser.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403, label(model)
            action = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
            assert browser.post(address(model, "changelist"), action).status_code in (200, 302, 403), label(model)
            assert model._default_manager.filter(pk=row.pk).exists(), label(model)


@pytest.mark.parametrize("name", SEEN)
def test_overview_and_menu_show_only_permitted_models(full_env: AdminEnvironment, name: str) -> None:
    page = full_env.log_in(name).get(reverse("admin:index"))
    assert page.status_code == 200
    assert page.context["figures"][0].name == "The store"
    shown = {item["link"] for group in page.context["sidebar_navigation"] for item in group["items"]}
    others = {reverse("admin:index")} | ({reverse("admin:staffreads_values")} if name in LOOKING else set())
    assert shown == {address(model, "changelist") for model in MODELS if label(model) in SEEN[name]} | others
    assert ("C42" in text_of(page)) is (name in ("root", "olivia"))


@pytest.mark.parametrize("app", APPS)
def test_app_pages_open(full_env: AdminEnvironment, app: str) -> None:
    assert full_env.log_in("root").get(reverse("admin:app_list", args=[app])).status_code == 200


def test_anonymous_user_is_asked_to_log_in(full_env: AdminEnvironment, client: Any) -> None:
    for model in MODELS:
        assert client.get(address(model, "changelist")).status_code == 302
    login = client.get(reverse("admin:login"))
    assert login.status_code == 200
    entered = client.post(reverse("admin:login"), {"login": "olivia", "password": "pw"})
    assert entered.headers["Location"] == reverse("admin:index")


ODD = [
    {"q": "\0"}, {"q": "x" * 5000}, {"q": "' OR 1=1"}, {"q": "  "}, {"p": "99999"}, {"p": "x"}, {"o": "9.x"},
    {"nonsense": "1"}, {"state": "nonsense"}, {"state__exact": "nonsense"}, {"all": ""},
    {"at_from": "tomorrow", "at_to": "2026-99-99"}, {"at_from": "0001-01-01", "at_to": "9999-12-31"},
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=label)
def test_malformed_queries_and_keys_are_no_server_error(full_env: AdminEnvironment, model: type[Model]) -> None:
    root, page = full_env.log_in("root"), address(model, "changelist")
    for query in ODD:
        assert root.get(page, query, follow=True).status_code in (200, 400), query  # 400: a field without a filter
    first = "-2" if model is EntryContent else "0"  # entries are numbered from 0 on
    for key in (first, "-1", "x", "99999999999999999999999", "_5F", "1/../2"):
        assert root.get(f"{page}{key}/change/").status_code in (302, 404), key
