"""Admin pages of audits and findings."""

import pytest
from django.urls import reverse
from kombu.exceptions import OperationalError

from featurestore.audit.admin import audits as admin
from featurestore.audit.models import AuditRun, Finding
from tests.admin.environment import AdminEnvironment

RUN = "admin:audit_auditrun_run_now"


def dismiss(finding: Finding) -> str:
    return reverse("admin:audit_finding_dismiss", args=[finding.pk])


def test_open_findings_come_first(env: AdminEnvironment) -> None:
    still = env.finding()
    for state, kind in (("repaired", "allows_more"), ("dismissed", "denies_more")):
        env.finding(state, kind)
    olivia = env.log_in("olivia")
    page = olivia.get(reverse("admin:audit_finding_changelist"))
    assert [row.state for row in page.context["cl"].result_list] == ["open", "dismissed", "repaired"]
    assert "C42" in page.content.decode()
    figures = {figure.name: figure for figure in olivia.get(reverse("admin:index")).context["figures"]}
    assert figures["Open findings"].value == "1"
    assert olivia.get(figures["Open findings"].link).context["cl"].result_list[0] == still


def test_finding_is_dismissed_once_and_with_a_reason(env: AdminEnvironment) -> None:
    finding, olivia = env.finding(), env.log_in("olivia")
    for reason in ("", "   ", "x" * 501):
        assert olivia.post(dismiss(finding), {"reason": reason}).context["form"].errors
    assert olivia.post(dismiss(finding), {"reason": "A test customer"}).status_code == 302
    finding.refresh_from_db()
    assert (finding.state, finding.dismissed_by, finding.dismissed_reason) == ("dismissed", "olivia", "A test customer")
    assert olivia.post(dismiss(finding), {"reason": "again"}).status_code == 403
    assert "A test customer" in olivia.get(reverse("admin:audit_finding_change", args=[finding.pk])).content.decode()


def test_dismissing_a_finding_closed_meanwhile_is_refused(
    env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.FindingAdmin, "has_dismiss_permission", lambda *_: True)
    page = env.log_in("olivia").post(dismiss(env.finding("repaired")), {"reason": "late"})
    assert "repaired or dismissed meanwhile" in page.content.decode()


@pytest.mark.parametrize("name", ["petra", "chris"])
def test_engineers_can_neither_dismiss_nor_audit(env: AdminEnvironment, name: str) -> None:
    browser = env.log_in(name)
    assert browser.post(dismiss(env.finding()), {"reason": "x"}).status_code == 403
    assert browser.post(reverse(RUN)).status_code == 403
    assert AuditRun.objects.count() == 1


@pytest.fixture
def no_control_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise OperationalError("Connection refused")

    monkeypatch.setattr(admin.audit_consent, "apply_async", fail)


def test_audit_runs_in_the_request_without_the_control_redis(env: AdminEnvironment, no_control_redis: None) -> None:
    page = env.log_in("olivia").post(reverse(RUN), follow=True)
    assert "Audited 3 subjects: 0 found, 0 repaired." in page.content.decode()


def test_audit_without_the_store_reports_that_it_ended_early(env: AdminEnvironment, no_control_redis: None) -> None:
    env.store.available = False
    page = env.log_in("olivia").post(reverse(RUN), follow=True)
    assert "ended early" in page.content.decode()
    assert "Ended early" in page.content.decode()


def test_audit_is_queued_for_some_minutes(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[dict[str, object]] = []
    monkeypatch.setattr(admin.audit_consent, "apply_async", lambda **options: queued.append(options))
    page = env.log_in("olivia").post(reverse(RUN), follow=True)
    assert "starts when a Celery worker is free" in page.content.decode()
    assert queued == [{"expires": 300}]
