"""Admin page of eviction runs: dry runs and evictions are started, and their counts shown."""

import pytest
from django.urls import reverse

from featurestore.consent.models import SubjectVersion
from featurestore.retention import evictions
from featurestore.retention.models import EvictionRun
from tests.admin.environment import AdminEnvironment, text_of

COUNT, EVICT = "admin:retention_evictionrun_count_idle", "admin:retention_evictionrun_evict_now"
LIST = "admin:retention_evictionrun_changelist"


@pytest.mark.parametrize("name", ["olivia", "petra"])
def test_a_dry_run_is_started_and_carried_out_by_a_task(env: AdminEnvironment, name: str) -> None:
    browser = env.log_in(name)
    assert browser.get(reverse(COUNT)).context["form"].initial == {"idle_days": 365}
    answer = browser.post(reverse(COUNT), {"idle_days": "30"})
    run = EvictionRun.objects.get()
    assert answer.headers["Location"] == reverse("admin:retention_evictionrun_change", args=[run.pk])
    assert (run.dry_run, run.started_by, run.finished_at) == (True, name, None)
    assert "Running" in text_of(browser.get(reverse(LIST)))
    evictions.evict_due()
    run.refresh_from_db()
    assert run.subjects == SubjectVersion.objects.count()
    assert "Ended" in text_of(browser.get(answer.headers["Location"]))


def test_what_can_not_be_started_is_told(env: AdminEnvironment) -> None:
    browser = env.log_in("olivia")
    for days in ("0", "", "36501", "many"):
        assert browser.post(reverse(EVICT), {"idle_days": days}).context["form"].errors
    assert browser.post(reverse(EVICT), {"idle_days": "30"}).status_code == 302
    assert "has not ended" in text_of(browser.post(reverse(EVICT), {"idle_days": "30"}))
    assert EvictionRun.objects.count() == 1


@pytest.mark.parametrize("name", ["chris", "iris", "anton"])
def test_others_can_start_no_run(env: AdminEnvironment, name: str) -> None:
    assert env.log_in(name).post(reverse(EVICT), {"idle_days": "30"}).status_code == 403
    assert EvictionRun.objects.count() == 0
