"""Give and withdraw on a customer's page: in effect before the page reports it."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from featurestore.consent import services
from featurestore.consent.late_grants import restart_counting
from featurestore.consent.models import ConsentRecord, CurrentPermission, Notice, PermissionChange, Purpose
from featurestore.permission import Denial, PurposePermission
from tests.admin.environment import AdminEnvironment

WITHDRAWN = {"method": "email", "reason": "Asked us to stop"}
GIVEN = {"method": "phone", "notice": "privacy/1/en", "reason": ""}


def page_of(env: AdminEnvironment, customer_id: str = "C42") -> str:
    return reverse("admin:customers_customer_change", args=[env.customers[customer_id].pk])


def decide(env: AdminEnvironment, browser: Client, what: str, purpose: str, answers: dict[str, Any]) -> HttpResponse:
    address = reverse(f"admin:customers_customer_{what}", args=[env.customers["C42"].pk, purpose])
    return browser.post(address, answers, follow=True)


@pytest.fixture
def olivia(env: AdminEnvironment) -> Client:
    return env.log_in("olivia")


def line(page: Any, purpose: str) -> Any:
    return next(line for line in page.context["status"].purposes if line.purpose.name == purpose)


def test_withdrawal_is_in_effect_when_the_page_reports_it(env: AdminEnvironment, olivia: Client) -> None:
    assert isinstance(env.read("C42"), PurposePermission)
    page = decide(env, olivia, "withdraw", "service", WITHDRAWN)
    assert env.read("C42") is Denial.REFUSED
    assert "withdrawn, and in effect" in page.content.decode()
    record = ConsentRecord.objects.first()
    assert record is not None
    assert (record.decision, record.actor, record.method) == ("withdrawn", "olivia", "email")
    assert record.reason == "Asked us to stop"
    assert next(iter(page.context["timeline"])) == record
    shown = line(page, "service")
    assert (shown.allowed, shown.in_store) == (False, True)
    assert "Asked us to stop" in page.content.decode()


def test_given_consent_names_its_notice(env: AdminEnvironment, olivia: Client) -> None:
    decide(env, olivia, "withdraw", "service", WITHDRAWN)
    page = decide(env, olivia, "give", "service", GIVEN)
    assert "given, and in effect" in page.content.decode()
    assert isinstance(env.read("C42"), PurposePermission)
    record = ConsentRecord.objects.first()
    assert record is not None
    assert record.notice is not None
    assert record.notice.reference == "privacy/1/en"


def test_repeated_withdrawal_is_recorded_and_reported(env: AdminEnvironment, olivia: Client) -> None:
    decide(env, olivia, "withdraw", "service", WITHDRAWN)
    page = decide(env, olivia, "withdraw", "service", WITHDRAWN)
    assert "it was in effect before" in page.content.decode()
    assert ConsentRecord.objects.filter(decision="withdrawn").count() == 2


def test_objection_is_recorded_and_taken_back(env: AdminEnvironment, olivia: Client) -> None:
    assert (
        "objection recorded, and in effect" in decide(env, olivia, "withdraw", "analytics", WITHDRAWN).content.decode()
    )
    assert env.read("C42", "analytics") is Denial.REFUSED
    page = decide(env, olivia, "give", "analytics", {"method": "shop", "notice": "", "reason": ""})
    assert "taken back" in page.content.decode()
    assert line(page, "analytics").allowed


@pytest.mark.parametrize("store_problem", ["unavailable", "unvouched"])
def test_decision_is_pending_without_a_vouched_store(env: AdminEnvironment, olivia: Client, store_problem: str) -> None:
    if store_problem == "unavailable":
        env.store.available = False
    else:
        env.store.restart()
    page = decide(env, olivia, "withdraw", "service", WITHDRAWN)
    assert "Recorded, and pending" in page.content.decode()
    assert "and in effect" not in page.content.decode()
    assert line(page, "service").in_store is None
    assert page.context["status"].store_problem
    pending = olivia.get(reverse("admin:consent_permissionchange_changelist"), {"state": "pending"})
    assert pending.context["cl"].result_count == 1
    assert not olivia.get(reverse("admin:index")).context["figures"][0].good


def test_difference_between_database_and_store_is_shown(env: AdminEnvironment, olivia: Client) -> None:
    CurrentPermission.objects.filter(purpose__name="service").update(allowed=False)
    shown = line(olivia.get(page_of(env)), "service")
    assert (shown.allowed, shown.in_store, shown.store_allows) == (False, False, True)
    assert "The store still allows it" in olivia.get(page_of(env)).content.decode()


@pytest.mark.parametrize(
    ("purpose", "what", "text"),
    [
        ("fraud", "withdraw", "rests on a legal obligation"),
        ("fraud", "give", "needs no consent"),
        ("delivery", "withdraw", "rests on a contract"),
        ("delivery", "give", "needs no consent"),
    ],
)
def test_refusal_of_the_service_is_shown(
    env: AdminEnvironment, olivia: Client, purpose: str, what: str, text: str
) -> None:
    page = decide(env, olivia, what, purpose, GIVEN | WITHDRAWN)
    assert page.status_code == 200
    assert text in page.content.decode()
    assert ConsentRecord.objects.count() == 1
    assert not line(olivia.get(page_of(env)), purpose).decidable


def test_retired_purpose_can_not_be_given(env: AdminEnvironment, olivia: Client) -> None:
    services.retire_purpose("service")
    assert "is retired" in decide(env, olivia, "give", "service", GIVEN).content.decode()


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("withdraw", {"reason": ""}),
        ("withdraw", {"reason": "  \n "}),
        ("withdraw", {"reason": "x" * 501}),
        ("withdraw", {"reason": "a\0b"}),
        ("withdraw", {"method": ""}),
        ("withdraw", {"method": "system"}),
        ("give", {"notice": ""}),
        ("give", {"notice": "privacy/9/en"}),
        ("give", {"method": "api"}),
    ],
)
def test_invalid_form_is_shown_again(env: AdminEnvironment, olivia: Client, what: str, change: dict[str, str]) -> None:
    page = decide(env, olivia, what, "service", GIVEN | WITHDRAWN | change)
    assert page.status_code == 200
    assert page.context["form"].errors
    assert ConsentRecord.objects.count() == 1


PAUSED = {"method": "email", "reason": "Contests the accuracy"}


def test_pause_is_in_effect_when_the_page_reports_it(env: AdminEnvironment, olivia: Client) -> None:
    page = decide(env, olivia, "pause", "service", PAUSED)
    assert "paused, and in effect" in page.content.decode()
    assert env.read("C42") is Denial.PAUSED
    shown = line(page, "service")
    assert (shown.allowed, shown.paused, shown.granted, shown.in_store) == (False, True, True, True)
    assert "Contests the accuracy" in page.content.decode()
    record = ConsentRecord.objects.first()
    assert record is not None
    assert (record.decision, record.actor, record.method) == ("paused", "olivia", "email")


def test_lifted_purpose_is_allowed_again(env: AdminEnvironment, olivia: Client) -> None:
    decide(env, olivia, "pause", "service", PAUSED)
    page = decide(env, olivia, "lift", "service", PAUSED)
    assert "lifted, and in effect" in page.content.decode()
    assert isinstance(env.read("C42"), PurposePermission)
    assert (line(page, "service").allowed, line(page, "service").paused) == (True, False)
    assert "The pause was lifted" in line(page, "service").why


def test_all_purposes_are_paused_and_lifted_at_once(env: AdminEnvironment, olivia: Client) -> None:
    customer = env.customers["C42"].pk
    page = olivia.post(reverse("admin:customers_customer_pause_all", args=[customer]), PAUSED, follow=True)
    assert all(one.paused for one in page.context["status"].purposes)
    assert env.read("C42", "fraud") is Denial.PAUSED
    page = olivia.post(reverse("admin:customers_customer_lift_all", args=[customer]), PAUSED, follow=True)
    assert not page.context["status"].paused
    assert isinstance(env.read("C42", "fraud"), PurposePermission)


def test_consent_while_paused_is_reported_as_still_paused(env: AdminEnvironment, olivia: Client) -> None:
    decide(env, olivia, "withdraw", "service", WITHDRAWN)
    decide(env, olivia, "pause", "service", PAUSED)
    page = decide(env, olivia, "give", "service", GIVEN)
    assert "stays paused" in page.content.decode()
    assert env.read("C42") is Denial.PAUSED


def test_lifting_without_a_pause_is_refused_on_the_page(env: AdminEnvironment, olivia: Client) -> None:
    assert "nothing to lift" in decide(env, olivia, "lift", "service", PAUSED).content.decode()
    assert ConsentRecord.objects.count() == 1


def test_decision_is_shown_after_its_grant_started_later(env: AdminEnvironment, olivia: Client) -> None:
    row = CurrentPermission.objects.get(purpose__name="service", customer__customer_id="C42")
    restart_counting([row.customer.subject], [row.customer.subject])
    assert line(olivia.get(page_of(env)), "service").why == "Consent given, via web."


def test_notice_must_explain_the_purpose(env: AdminEnvironment, olivia: Client) -> None:
    services.publish_notice("other", 1, "en", "About fraud.", ["fraud"])
    page = decide(env, olivia, "give", "service", GIVEN | {"notice": "other/1/en"})
    assert page.context["form"].errors["notice"]


@pytest.mark.parametrize("purpose", ["nothing", "..", "service%00", "x" * 300])
def test_unknown_purposes_and_customers_are_not_found(env: AdminEnvironment, olivia: Client, purpose: str) -> None:
    base = reverse("admin:customers_customer_changelist")
    for address in (f"{base}{env.customers['C42'].pk}/{purpose}/give/", f"{base}999999/service/withdraw/"):
        assert olivia.post(address, GIVEN).status_code in (302, 404)
    assert ConsentRecord.objects.count() == 1


@pytest.mark.parametrize("name", ["petra", "chris"])
def test_engineers_can_not_decide(env: AdminEnvironment, name: str) -> None:
    browser = env.log_in(name)
    assert decide(env, browser, "withdraw", "service", WITHDRAWN).status_code == 403
    assert decide(env, browser, "give", "service", GIVEN).status_code == 403
    assert decide(env, browser, "pause", "service", PAUSED).status_code == 403
    assert decide(env, browser, "lift", "service", PAUSED).status_code == 403
    assert ConsentRecord.objects.count() == 1


def test_erased_customer_is_not_found(env: AdminEnvironment, olivia: Client) -> None:
    ann = env.customers["C42"]
    type(ann).objects.filter(pk=ann.pk).update(erased_at=ann.since)
    assert decide(env, olivia, "withdraw", "service", WITHDRAWN).status_code == 404
    assert olivia.get(page_of(env)).status_code == 302


def test_search_lists_the_exact_id_first(env: AdminEnvironment, olivia: Client) -> None:
    env.register("C4", "AC42", "c 42")
    found = olivia.get(reverse("admin:customers_customer_changelist"), {"q": "C42"}).context["cl"].queryset
    assert [customer.customer_id for customer in found] == ["C42", "C421"]
    spaced = olivia.get(reverse("admin:customers_customer_changelist"), {"q": "c 42"}).context["cl"].queryset
    assert [customer.customer_id for customer in spaced] == ["c 42"]


def test_records_and_changes_are_found_by_customer(env: AdminEnvironment, olivia: Client) -> None:
    env.give("C421")
    for model, count in (("consentrecord", 1), ("permissionchange", 2)):
        page = reverse(f"admin:consent_{model}_changelist")
        assert olivia.get(page, {"q": "C421"}).context["cl"].result_count == count
        assert olivia.get(page, {"q": "C4"}).context["cl"].result_count == 0


def test_consent_records_are_filtered_by_purpose_decision_and_day(env: AdminEnvironment, olivia: Client) -> None:
    decide(env, olivia, "withdraw", "service", WITHDRAWN)
    page, today = reverse("admin:consent_consentrecord_changelist"), ConsentRecord.objects.all()[0].at.date()
    purpose = Purpose.objects.get(name="service").pk
    for query, count in (
        ({"decision__exact": "withdrawn"}, 1),
        ({"purpose__id__exact": purpose}, 2),
        ({"at_from": today, "at_to": today}, 2),
        ({"at_to": "2020-01-01"}, 0),
        ({"at_from": "2990-01-01"}, 0),
    ):
        assert olivia.get(page, query).context["cl"].result_count == count, query


def test_consent_records_and_notices_can_not_be_changed(env: AdminEnvironment) -> None:
    root, record, notice = env.log_in("root"), ConsentRecord.objects.get(), Notice.objects.get()
    for model, row in (
        ("consentrecord", record),
        ("notice", notice),
        ("permissionchange", PermissionChange.objects.last()),
    ):
        assert row is not None
        page = reverse(f"admin:consent_{model}_change", args=[row.pk])
        assert root.post(page, {"body": "other", "reason": "other", "subject": "other"}).status_code == 403
    record.refresh_from_db()
    notice.refresh_from_db()
    assert (record.reason, notice.body) == ("", "What we do.\n\nWith your data.")


def test_admin_log_contains_no_customer_id(env: AdminEnvironment, olivia: Client) -> None:
    decide(env, olivia, "withdraw", "service", WITHDRAWN)
    finding = env.finding()
    olivia.post(reverse("admin:audit_finding_dismiss", args=[finding.pk]), {"reason": "known"})
    assert not any("C42" in f"{entry.object_repr} {entry.change_message}" for entry in LogEntry.objects.all())
