"""Every address of the administration for every role, found by reflection: what it shows, and what a post changes."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.auth.models import Permission, User
from django.db import connection, transaction
from django.db.models import CharField, Model, TextField
from django.http import HttpResponse
from django.template.response import TemplateResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, reverse
from guardian.models import UserObjectPermission
from oauth2_provider.models import AccessToken, set_token_value

from featurestore.access.models import ApiClient, ApiKey, ClientSecret
from featurestore.access.services import assign_client
from featurestore.accesslog.models import ReadContext
from featurestore.consent.models import CurrentPermission, Purpose
from featurestore.customers.models import Customer
from featurestore.logins.models import LoginEvent
from featurestore.requests import services as requests
from featurestore.requests.models import Holiday, Regime, SubjectRequest
from tests.admin.environment import AdminEnvironment, text_of
from tests.kit.requests import OLIVIA

PAGES = sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label)
ANNA = "customer-anna"
CUSTOM = {
    "rita": ["accesslog.view_accessrecord"],
    "clara": ["consent.view_consentrecord", "consent.view_permissionchange"],
    "karl": ["auth.view_user", "auth.change_user", "auth.add_user", "auth.delete_user", "auth.change_group"],
    "nils": [],
}
"""Staff with permissions that no shipped role has alone."""
STAFF = ["olivia", "petra", "chris", "iris", "anton", *CUSTOM]
ASSIGNED = ("chris", "rita")
ROWS = 2
"""Rows of a model whose addresses are asked for, if rights and actions are the same for each."""
POSTED = {
    "post": "yes", "confirmed": "yes",
    "active": "on", "requests_per_s": "77", "owner": "thief", "description": "changed", "name": "new_name",
    "scopes": ["features:read"], "services": ["support_chat"], "purposes": ["service"], "days": "30",
    "method": "email", "reason": "posted", "notice": "privacy/1/en", "title": "Changed", "lawful_basis": "consent",
    "username": "new", "password1": "a-long-passphrase-9", "password2": "a-long-passphrase-9",
    "usable_password": "true", "is_superuser": "on", "is_staff": "on", "is_active": "on", "groups": ["1"],
    "user_permissions": ["1"],
    "customer_id": "C42", "reference": "R-2222-3333", "again": "R-2222-3333",
    "version": "7", "language": "en", "body": "A text", "permissions": ["1"], "date_joined_0": "2026-01-01",
    "date_joined_1": "00:00:00",
    "type": "erasure", "regime": "gdpr", "ground": "unfounded", "kind": "email",
    "idle_days": "30", "effective_from": "2126-01-01", "basis": "policy 7",
    "address": "ann@example.org", "text": "An answer", "done": "all of it", "hours": "24",
    "asked": "support_chat/service",
}  # fmt: skip
"""What every form of the administration would need, in one."""
DECIDED = {f"customers_customer_{what}" for what in ("give", "withdraw", "pause", "pause_all", "lift", "lift_all")}
RENEWED = {"access_apikey_rotate", "access_apikey_revoke", "access_clientsecret_rotate", "access_clientsecret_revoke"}
WORKED_ON = {
    f"requests_subjectrequest_{what}"
    for what in ("add", "verify", "contact", "assign", "answer", "wait", "continue", "extend", "refuse", "close",
                 "withdraw", "assign_selected", "answer_selected", "extend_selected", "close_selected")
}  # fmt: skip
VERIFYING = {"auditlog_logverification_verify_now"}
EVICTING = {"retention_evictionrun_count_idle", "retention_evictionrun_evict_now"}
ENDED = {"access_apiclient_deactivate", "access_apiclient_revoke_tokens"}
CHANGES: dict[str, set[str]] = {
    "olivia": DECIDED
    | {"consent_purpose_change", "consent_purpose_retire", "consent_purpose_add", "consent_notice_add"}
    | {"audit_finding_dismiss", "audit_auditrun_run_now"}
    | EVICTING
    | VERIFYING
    | {"retention_retentionrule_count", "retention_retentionrule_apply_now"}
    | {"customers_legalhold_place", "customers_legalhold_release"}
    | {f"exports_dataexport_{what}" for what in ("release", "cancel", "withhold", "show_link")}
    | WORKED_ON
    | {"requests_customermessage_again", "requests_customermessage_by_hand"}
    | {"requests_regimerule_add", "requests_holiday_add", "requests_holiday_change"},
    "petra": RENEWED
    | ENDED
    | EVICTING
    | VERIFYING
    | {f"access_apiclient_{what}" for what in ("add", "change", "allow", "assign_staff", "create_key", "create_secret")}
    | {f"ingest_deadletter_{what}" for what in ("replay", "discard", "replay_selected", "discard_selected")},
    "chris": RENEWED | ENDED,
    "iris": {"requests_subjectrequest_add"},
    "anton": {"requests_subjectrequest_approve", "requests_subjectrequest_return"}
    | {"exports_dataexport_release", "exports_dataexport_withhold"},
    "rita": RENEWED | ENDED,
    "karl": {"auth_user_change", "auth_user_add", "auth_user_password_change"},
}
"""Addresses at which a post of each changes anything. Of the assigned: only their client's."""


Rows = dict[str, list[dict[str, Any]]]


class Address(NamedTuple):
    """An address of a model's page, by name, and the row that it is about."""

    name: str
    url: str
    row: Model | None


@pytest.fixture
def full(env: AdminEnvironment) -> AdminEnvironment:
    """Two rows or more of every model; one of two clients is assigned to chris and rita."""
    env.register(ANNA)
    env.give(ANNA)
    env.finding(customer_id=ANNA)
    env.dead_letter(ANNA, b"no event")
    env.access_record(ANNA)
    env.erasure("R-2222-4444", ANNA)
    env.erasure()
    env.export(ANNA)
    env.export("C42", "released")
    env.emergency()
    env.emergency(ANNA, "olivia")
    for _ in range(2):
        env.eviction_run()
        env.retention_run()
        env.log_verification()
        env.tree_head_place()
    LoginEvent.objects.create(kind="failed")
    Holiday.objects.exclude(pk__in=Holiday.objects.order_by("pk")[:2]).delete()  # 73 more have the same pages
    receive_requests(env)
    for number, (name, owner) in enumerate({"support-bot": "chat", "sales-bot": "sales team"}.items()):
        env.secret(name)
        client = ApiClient.objects.get(name=name)
        ApiClient.objects.filter(pk=client.pk).update(owner=owner)
        ReadContext.objects.create(digest=f"{number:032}", client=name, credential="k", service="s", purpose="p")
        token = AccessToken(application=client, scope="features:read", expires=datetime.now(UTC) + timedelta(minutes=5))
        set_token_value(token, name)
        token.save()
    for name, permissions in CUSTOM.items():
        person = User.objects.create_user(name, password="pw", is_staff=True)
        for permission in permissions:
            app, codename = permission.split(".")
            person.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    for name in ASSIGNED:
        person = User.objects.get(username=name)
        assign_client(ApiClient.objects.get(name="support-bot"), person, actor="petra")
    env.log_entries(ANNA)
    return env


def receive_requests(env: AdminEnvironment) -> None:
    """A request of Anna's in each state in which something can be done, and messages that staff send by hand."""
    unverified = env.subject_request("rectification", ANNA, attested=False)
    SubjectRequest.objects.filter(pk=unverified.pk).update(examined_at=unverified.received_at)
    env.subject_request("portability", ANNA)
    requests.wait_for_customer(env.subject_request("erasure", ANNA).reference, OLIVIA, "which one?")
    requests.answer(env.subject_request("restriction", ANNA).reference, OLIVIA, "It is restricted.", "paused")
    proposed = env.subject_request("objection", ANNA)
    SubjectRequest.objects.filter(pk=proposed.pk).update(state="to_approve", ground="unfounded", proposed_by="oscar")
    requests.record_contact(ANNA, "email", "anna@example.org", OLIVIA)


def hidden_from(name: str) -> set[str]:
    """Texts that no page may show a person, and that no filter or search of theirs may find."""
    issued = [*ApiKey.objects.all(), *ClientSecret.objects.all()]
    words = {one.digest for one in issued}
    if name not in ("olivia", "anton"):
        words |= {ANNA, "anna@example.org"}
    if name in ("olivia", "petra"):
        return words
    unseen = [one for one in issued if name not in ASSIGNED or one.client.name != "support-bot"]
    return words | {"sales-bot", "sales team"} | {one.key_id for one in unseen}


def addresses(model: type[Model], page: Any) -> Iterator[Address]:
    """Every named address of a model's page; those about a row for some rows.

    For each, where rights or what can be done depend on the row: what belongs to a client, customers and requests.
    """
    by_row = model in (ApiClient, Customer, SubjectRequest) or hasattr(model, "client")
    some = None if by_row else ROWS
    for pattern in page.get_urls():
        if isinstance(pattern, URLPattern) and pattern.name:
            parameters = pattern.pattern.converters
            key = next((one for one in ("object_id", "id") if one in parameters), None)
            rows: list[Model | None] = [None] if key is None else [*model._default_manager.order_by("pk")[:some]]
            for row in rows:
                filled: dict[str, Any] = {"purpose": "service"} if "purpose" in parameters else {}
                filled |= {key: row.pk} if key and row else {}
                yield Address(pattern.name, reverse(f"admin:{pattern.name}", kwargs=filled), row)


def site_addresses(model: type[Model]) -> Iterator[str]:
    """Addresses of the site that take a model or a row: the list of its app, the search, and the shortcut."""
    yield reverse("admin:app_list", args=[model._meta.app_label])
    yield f"{reverse('admin:search')}?s={model._meta.verbose_name}"
    content_type = apps.get_model("contenttypes", "ContentType").objects.get_for_model(model)
    yield reverse("admin:view_on_site", args=[content_type.pk, 1])


def shown(response: HttpResponse, hidden: set[str]) -> set[str]:
    text = b"".join(response.streaming_content).decode() if response.streaming else text_of(response)  # type: ignore[attr-defined]
    return {word for word in hidden if word in text}


def snapshot() -> Rows:
    """Every row that a page could change."""
    rights = [User.groups.through, User.user_permissions.through, UserObjectPermission]
    models = [*dict(PAGES), AccessToken, CurrentPermission, *rights]
    return {one._meta.label: [*one._default_manager.order_by("pk").values()] for one in models}


class WrittenTables:
    """The statements that wrote, other than a session's."""

    def __init__(self) -> None:
        self.statements = list[str]()

    def __call__(self, execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE", "REPLACE")) and "django_session" not in sql:
            self.statements.append(sql)
        return execute(sql, *arguments)


def post(browser: Client, url: str, data: dict[str, Any], before: Rows) -> tuple[HttpResponse, bool]:
    """A post, undone afterwards, and whether it changed any of the rows before."""
    undone, cookies, written = transaction.atomic(), deepcopy(browser.cookies), WrittenTables()
    undone._from_testcase = True  # services demand the outermost transaction
    with undone:
        with connection.execute_wrapper(written):
            response = browser.post(url, data)
        changed = bool(written.statements) and snapshot() != before
        transaction.set_rollback(True)
    browser.cookies = cookies  # a changed password starts another session
    return response, changed


@pytest.mark.parametrize("name", STAFF)
def test_no_address_shows_what_its_user_may_not_see(full: AdminEnvironment, name: str) -> None:
    browser, hidden = full.log_in(name), hidden_from(name)
    urls = [reverse("admin:index"), reverse("admin:jsi18n")]
    for model, page in PAGES:
        assert model._default_manager.exists(), f"{model._meta.label}: a row is needed"
        urls += [*(address.url for address in addresses(model, page)), *site_addresses(model)]
    for url in urls:
        response = browser.get(url)
        assert response.status_code in (200, 302, 403, 404, 405), url
        assert not shown(response, hidden), url


def test_no_address_is_open_to_anybody_who_is_not_logged_in(full: AdminEnvironment) -> None:
    anonymous, hidden, before = Client(), hidden_from("nils"), snapshot()
    for model, page in PAGES:
        urls = [*(address.url for address in addresses(model, page)), *site_addresses(model)]
        for url in urls:
            response = anonymous.get(url)
            assert response.status_code in (302, 403, 404, 405), url
            assert not shown(response, hidden), url
            assert not post(anonymous, url, POSTED, before)[1], url


@pytest.mark.parametrize("name", STAFF)
def test_no_filter_or_search_finds_what_its_user_may_not_see(full: AdminEnvironment, name: str) -> None:
    hidden, request = hidden_from(name), request_of(name)
    for model, page in PAGES:
        if not page.has_view_permission(request):
            continue
        assert name != "olivia" or rows_listed(page, name), page
        texts = {one.name for one in model._meta.fields if isinstance(one, CharField | TextField)}
        related = {
            f"{one.name}__{other.name}"
            for one in model._meta.fields
            if one.remote_field
            for other in one.remote_field.model._meta.fields
            if isinstance(other, CharField | TextField)
        }
        for lookup in texts | related | set(page.get_queryset(request).query.annotations):
            assert rows_listed(page, name, {f"{lookup}__in": ",".join(hidden)}) == 0, (page, lookup)
        for word in hidden if page.get_search_fields(request) else ():
            assert rows_listed(page, name, {"q": word}) == 0, (page, word)


@pytest.mark.parametrize("name", STAFF)
def test_no_autocomplete_offers_what_its_user_may_not_see(full: AdminEnvironment, name: str) -> None:
    browser, hidden = full.log_in(name), hidden_from(name)
    for model in apps.get_models(include_auto_created=True):
        for field in (*model._meta.fields, *model._meta.many_to_many):
            if field.remote_field:
                asked = {"app_label": model._meta.app_label, "model_name": model._meta.model_name, "term": ""}
                response = browser.get(reverse("admin:autocomplete"), asked | {"field_name": field.name})
                assert response.status_code in (200, 403, 404)
                assert not shown(response, hidden), (model, field)


@pytest.mark.parametrize("name", STAFF)
def test_posts_change_only_what_the_role_or_assignment_allows(full: AdminEnvironment, name: str) -> None:
    browser, hidden = full.log_in(name), hidden_from(name)
    allowed, changed, before = CHANGES.get(name, set()), set(), snapshot()
    posted = POSTED | {"staff": [User.objects.get(username="nils").pk]}
    posted |= {"assignee": User.objects.get(username="olivia").pk}
    gdpr = Regime.objects.get(name="gdpr").pk
    own = {
        "requests_subjectrequest_verify": {"customer_id": ""},
        "consent_notice_add": {"purposes": [Purpose.objects.get(name="service").pk]},
        "requests_holiday_add": {"regime": gdpr, "day": "2031-05-01"},
        "requests_holiday_change": {"regime": gdpr, "day": "2031-05-01"},
        "requests_regimerule_add": {"regime": gdpr, "effective_from": "2031-05-01", "answer_within": "7",
                                    "answer_unit": "days", "acknowledge_unit": "days", "extend_unit": "days",
                                    "source": "a new law"},
    }  # fmt: skip
    for model, page in PAGES:
        rows = [row.pk for row in model._default_manager.all()]
        for address in addresses(model, page):
            posts = [(address.name, posted | own.get(address.name, {}))]
            if address.name.endswith("_changelist"):
                posts = [
                    (f"{address.name.removesuffix('changelist')}{action}",
                     posted | {"action": action, "_selected_action": rows})
                    for action in (*page.get_actions(request_of(name)), "delete_selected")
                ]  # fmt: skip
            for what, data in posts:
                response, did = post(browser, address.url, data, before)
                assert response.status_code in (200, 302, 403, 404, 405), address
                assert not shown(response, hidden), address
                if did:
                    changed.add(what)
                    assert what in allowed, address
                    client = getattr(address.row, "client", address.row)
                    assert name not in ASSIGNED or client.name == "support-bot", address  # type: ignore[union-attr]
    assert changed == allowed


def rows_listed(page: ModelAdmin, name: str, asked: dict[str, str] | None = None) -> int:
    """Number of rows on a list that is not rendered; 0 if the question is refused."""
    try:
        response = page.changelist_view(request_of(name, asked))
    except DisallowedModelAdminLookup:
        return 0
    if isinstance(response, TemplateResponse):
        return response.context_data["cl"].result_count
    assert response.status_code == 302
    return 0


def request_of(name: str, asked: dict[str, str] | None = None) -> Any:
    request = RequestFactory().get("/", asked)
    request.user = User.objects.get(username=name)
    return request
