"""Audits and findings on their pages."""

import pytest
from django.urls import reverse

from featurestore.audit import admin
from featurestore.audit.models import AuditRun, Finding
from tests.admin.shop import Shop

RUN = "admin:audit_auditrun_run_now"


def dismiss(finding: Finding) -> str:
    return reverse("admin:audit_finding_dismiss", args=[finding.pk])


def test_open_findings_come_first(shop: Shop) -> None:
    still = shop.finding()
    for state, kind in (("repaired", "allows_more"), ("dismissed", "denies_more")):
        shop.finding(state, kind)
    olivia = shop.browse("olivia")
    page = olivia.get(reverse("admin:audit_finding_changelist"))
    assert [row.state for row in page.context["cl"].result_list] == ["open", "dismissed", "repaired"]
    assert "C42" in page.content.decode()
    figures = {figure.name: figure for figure in olivia.get(reverse("admin:index")).context["figures"]}
    assert figures["Open findings"].value == "1"
    assert olivia.get(figures["Open findings"].link).context["cl"].result_list[0] == still


def test_a_finding_is_dismissed_once_and_with_a_reason(shop: Shop) -> None:
    finding, olivia = shop.finding(), shop.browse("olivia")
    for reason in ("", "   ", "x" * 501):
        assert olivia.post(dismiss(finding), {"reason": reason}).context["form"].errors
    assert olivia.post(dismiss(finding), {"reason": "A test customer"}).status_code == 302
    finding.refresh_from_db()
    assert (finding.state, finding.dismissed_by, finding.dismissed_reason) == ("dismissed", "olivia", "A test customer")
    assert olivia.post(dismiss(finding), {"reason": "again"}).status_code == 403
    assert "A test customer" in olivia.get(reverse("admin:audit_finding_change", args=[finding.pk])).content.decode()


def test_a_finding_closed_meanwhile_is_said(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin.FindingAdmin, "has_dismiss_permission", lambda *_: True)
    page = shop.browse("olivia").post(dismiss(shop.finding("repaired")), {"reason": "late"})
    assert "repaired or dismissed meanwhile" in page.content.decode()


@pytest.mark.parametrize("name", ["petra", "chris"])
def test_engineers_neither_dismiss_nor_audit(shop: Shop, name: str) -> None:
    browser = shop.browse(name)
    assert browser.post(dismiss(shop.finding()), {"reason": "x"}).status_code == 403
    assert browser.post(reverse(RUN)).status_code == 403
    assert AuditRun.objects.count() == 1


def test_without_a_worker_the_audit_runs_here(shop: Shop) -> None:
    page = shop.browse("olivia").post(reverse(RUN), follow=True)
    assert "Audited 3 subjects: 0 found, 0 repaired." in page.content.decode()


def test_an_audit_that_can_not_be_says_why(shop: Shop) -> None:
    shop.store.available = False
    page = shop.browse("olivia").post(reverse(RUN), follow=True)
    assert "ended early" in page.content.decode()
    assert "Ended early" in page.content.decode()


def test_with_a_worker_the_audit_is_queued(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = []
    monkeypatch.setattr(admin, "has_worker", lambda: True)
    monkeypatch.setattr(admin.audit_consent, "delay", lambda: queued.append(1))
    page = shop.browse("olivia").post(reverse(RUN), follow=True)
    assert "begins now" in page.content.decode()
    assert queued == [1]
