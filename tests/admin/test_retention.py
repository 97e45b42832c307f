"""Admin pages of retention rules and their runs."""

import pytest
from django.urls import reverse

from featurestore.retention import runs
from featurestore.retention.models import RetentionRule, RetentionRun
from tests.admin.environment import AdminEnvironment, text_of

ADD = reverse("admin:retention_retentionrule_add_one")
FORM = {"what": "reads/service", "days": "30", "effective_from": "2126-01-01", "basis": "policy 7"}


def address(name: str, rule: RetentionRule) -> str:
    return reverse(f"admin:retention_retentionrule_{name}", args=[rule.pk])


def test_a_rule_is_added_and_counted_before_it_applies(env: AdminEnvironment) -> None:
    env.access_record()
    olivia = env.log_in("olivia")
    page = text_of(olivia.get(ADD))
    assert "orders (30 days)" in page
    assert "Kafka, RAPPORT_EVENT_RETENTION_DAYS" in page
    answer = olivia.post(ADD, FORM)
    rule = RetentionRule.objects.get()
    assert answer.headers["Location"] == address("change", rule)
    assert (rule.kind, rule.name, rule.days, rule.created_by) == ("reads", "service", 30, "olivia")
    assert "Later" in text_of(olivia.get(address("change", rule)))
    assert "only a dry run is possible" in text_of(olivia.post(address("apply_now", rule)))
    assert olivia.post(address("count", rule)).status_code == 302
    assert "would go" not in text_of(olivia.get(address("apply_now", rule)))
    runs.apply_due()
    assert "0 would go, a hold keeps 0, 0 are undecided" in text_of(olivia.get(address("apply_now", rule)))
    shown = text_of(olivia.get(reverse("admin:retention_retentionrun_changelist")))
    assert "Dry run" in shown
    assert "Ended" in shown
    assert RetentionRun.objects.get().gone == 0


def test_a_rule_that_is_refused_says_why(env: AdminEnvironment) -> None:
    olivia = env.log_in("olivia")
    assert "RAPPORT_ACCESS_RECORD_DAYS" in text_of(olivia.post(ADD, FORM | {"days": "91"}))
    assert "today at the earliest" in text_of(olivia.post(ADD, FORM | {"effective_from": "2026-01-01"}))
    for wrong in (
        {"what": "all"},
        {"what": "events/all"},
        {"what": ""},
        {"days": "0"},
        {"days": "x"},
        {"effective_from": "soon"},
        {"basis": ""},
    ):
        assert olivia.post(ADD, FORM | wrong).context["form"].errors
    assert RetentionRule.objects.count() == 0


def test_a_rule_that_nothing_applies_has_no_run(env: AdminEnvironment) -> None:
    olivia = env.log_in("olivia")
    olivia.post(ADD, FORM | {"what": "events/orders"})
    rule = RetentionRule.objects.get()
    page = text_of(olivia.get(address("change", rule)))
    assert "Kafka" in page
    assert "What was counted" in page
    assert olivia.post(address("count", rule)).status_code == 403
    olivia.post(ADD, FORM | {"days": ""})
    ended = RetentionRule.objects.get(kind="reads")
    assert ended.days is None
    assert olivia.post(address("apply_now", ended)).status_code == 403


@pytest.mark.parametrize("name", ["petra", "chris", "iris", "anton"])
def test_others_can_neither_add_a_rule_nor_apply_one(env: AdminEnvironment, name: str) -> None:
    rule, browser = env.retention_run().rule, env.log_in(name)
    for page in (ADD, address("count", rule), address("apply_now", rule)):
        assert browser.post(page, FORM).status_code in (403, 404)
    assert (RetentionRule.objects.count(), RetentionRun.objects.count()) == (1, 1)
