"""Pages of exports: from the start to link and passphrase, as an officer takes them; who sees what."""

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from featurestore.access.models import ApiClient
from featurestore.access.services import seed_roles
from featurestore.requests.export import services
from featurestore.requests.export.handover import handed_over
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.states import ExportState
from featurestore.requests.export.work import advance
from tests.kit.exports import CANARY, ExportEnvironment, is_readable, reloaded
from tests.kit.logins import log_in
from tests.kit.requests import ANTON, NOON, OLIVIA
from tests.requests.export.conftest import ChangeSettings

pytestmark = pytest.mark.django_db


def page(name: str, export: DataExport) -> str:
    return reverse(f"admin:exports_dataexport_{name}", args=[export.pk])


def member(name: str, *permissions: str) -> Client:
    """A logged-in staff member with some permissions on exports."""
    person = User.objects.create_user(name, password="pw", is_staff=True)
    for codename in permissions:
        person.user_permissions.add(
            Permission.objects.get(content_type__app_label="exports", codename=f"{codename}_dataexport")
        )
    return log_in(name)


@pytest.fixture
def officer(exports: ExportEnvironment) -> Client:
    person = User.objects.create_user("olivia", password="pw", is_staff=True)
    person.groups.set([group for group in seed_roles() if group.name == "Privacy officer"])
    assert not ApiClient.objects.exists()
    return log_in("olivia")


def test_officer_exports_reviews_releases_and_gets_link_and_passphrase(
    exports: ExportEnvironment, officer: Client
) -> None:
    request = exports.requests.verified("access")
    officer.post(reverse("admin:exports_dataexport_start"), {"reference": request.reference.lower()})
    export = DataExport.objects.get()
    advance()
    shown = officer.get(page("change", export)).content.decode()
    assert "Orders" in shown
    assert CANARY not in shown
    notes = export.categories.get(name="Letters")
    items = officer.get(page("items", export), {"category": notes.pk})
    assert CANARY in items.content.decode()
    assert "no-store" in items["Cache-Control"]
    withhold = f"{page('withhold', export)}?category={notes.pk}&item=2"
    assert officer.post(withhold, {"reason": "names another customer"}).status_code == 302
    officer.post(page("release", export), {"reason": ""})
    assert reloaded(export).state == ExportState.PACKING
    advance()
    answer = officer.post(page("show_link", export)).content.decode()
    found = re.search(r'id="passphrase-text" readonly value="([^"]+)"', answer)
    assert found
    assert "/exports/" in answer
    assert is_readable(exports.folder / f"{export.name}.zip", found[1])


def test_items_are_shown_by_page(exports: ExportEnvironment, officer: Client) -> None:
    export = exports.collected()
    orders = export.categories.get(name="Orders")
    for first, said in ((0, "Later items"), (575, "Earlier items")):
        shown = officer.get(page("items", export), {"category": orders.pk, "first": first}).content.decode()
        assert said in shown
    for wrong in ("x", "-1", "9" * 30, "²"):
        assert officer.get(page("items", export), {"category": orders.pk, "first": wrong}).status_code == 200
    assert officer.get(page("items", export), {"category": 999_999}).status_code == 404


def test_who_may_only_see_exports_reads_no_item_and_releases_nothing(exports: ExportEnvironment) -> None:
    export = exports.collected()
    browser = member("ina", "view")
    assert browser.get(page("change", export)).status_code == 200
    for name in ("items", "withhold", "keep", "release", "show_link", "cancel", "propose"):
        assert browser.get(page(name, export)).status_code == 403, name
        assert browser.post(page(name, export), {"reason": "x"}).status_code == 403, name
    assert reloaded(export).state == ExportState.IN_REVIEW


def test_who_may_review_sees_no_passphrase(exports: ExportEnvironment) -> None:
    export = exports.collected()
    services.release(export.pk, ANTON, now=NOON)
    advance(NOON)
    browser = member("rita", "view", "review", "release")
    assert browser.post(page("show_link", export)).status_code == 403
    assert services.show_link(export.pk, OLIVIA, NOON).passphrase


def test_redaction_is_put_back(exports: ExportEnvironment, officer: Client) -> None:
    export = exports.collected()
    orders = export.categories.get(name="Orders")
    officer.post(f"{page('withhold', export)}?category={orders.pk}&field=total", {"reason": "a trade secret"})
    made = export.redactions.get()
    assert "a trade secret" in officer.get(page("change", export)).content.decode()
    assert officer.get(page("keep", export)).status_code == 404
    officer.post(f"{page('keep', export)}?redaction={made.pk}", {"reason": "it is none"})
    assert not export.redactions.exists()


def test_message_of_a_service_is_shown(exports: ExportEnvironment, officer: Client) -> None:
    request = exports.requests.verified("erasure")
    answer = officer.post(reverse("admin:exports_dataexport_start"), {"reference": request.reference})
    assert "access or portability" in answer.content.decode()
    assert not DataExport.objects.exists()


def test_own_release_is_refused_where_two_persons_are_wanted(
    exports: ExportEnvironment, officer: Client, change_settings: ChangeSettings
) -> None:
    change_settings(exports_need_approval=True)
    export = exports.collected()
    services.propose(export.pk, OLIVIA, now=NOON)
    refused = officer.post(page("release", export), {"reason": ""})
    assert "another person releases it" in refused.content.decode()
    assert reloaded(export).state == ExportState.TO_RELEASE
    other = member("anna", "view", "review", "release")
    assert other.post(page("release", export), {"reason": ""}).status_code == 302
    assert reloaded(export).state == ExportState.PACKING


def test_page_says_how_the_customer_gets_link_and_passphrase(exports: ExportEnvironment, officer: Client) -> None:
    export = exports.collected()
    services.release(export.pk, ANTON, now=NOON)
    advance(NOON)
    shown = officer.get(page("change", export)).content.decode()
    assert "Give it by telephone or letter, and never by the way that the link takes." in shown
    assert "Answer the request" in shown
    link = officer.post(page("show_link", export)).content.decode()
    assert "http://localhost:8000/exports/" in link
    passphrase = handed_over(export)[1].message
    by_hand = reverse("admin:requests_customermessage_by_hand", args=[passphrase.pk])
    assert by_hand in link
    done = officer.post(by_hand, {"reason": "by telephone"})
    assert done.headers["Location"] == reverse("admin:requests_subjectrequest_change", args=[export.request_id])
    assert by_hand not in officer.get(page("change", export)).content.decode()
    text = officer.get(reverse("admin:requests_customermessage_change", args=[passphrase.pk])).content.decode()
    assert "Whoever may hand exports over sees it" in text
