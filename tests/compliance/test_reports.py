"""Reports: their rows, in pages, and their notes."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from featurestore.access.services import create_client, create_key, deactivate
from featurestore.accesslog.models import AccessGap, AccessRecord, ReadContext, WriterProcess
from featurestore.clock import database_now
from featurestore.compliance import report as reports
from featurestore.compliance.errors import UnsoundPeriod
from featurestore.compliance.report import Period
from featurestore.compliance.reports import REPORTS, processing_records
from featurestore.config import Controller, settings
from featurestore.installed_catalog import catalog
from featurestore.row_locations import data_locations
from tests.kit.clock import at
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
EVER = Period(None, at(10**9))


def rows(name: str, period: Period = EVER) -> list[dict[str, Any]]:
    report = REPORTS[name]
    names = [column.name for column in report.columns]
    return [dict(zip(names, row, strict=True)) for row in report.rows(period)]


def record(number: int, when: datetime, client: str = "bot", subject: str = "a" * 32) -> None:
    context, _ = ReadContext.objects.get_or_create(
        digest=client, client=client, service="support_chat", purpose="service", given=["order_features"]
    )
    AccessRecord.objects.create(id=number, context=context, subject=subject, at=when, request_id="r")


def test_the_register_has_every_decision_in_order_page_by_page(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "PAGE", 2)
    shop.register()
    for number in range(5):
        (shop.withdraw if number % 2 else shop.give)(when=10 + number)
    found = rows("consent-register")
    assert [row["decision"] for row in found] == ["given", "withdrawn", "given", "withdrawn", "given"]
    assert {(row["customer_id"], row["purpose"]) for row in found} == {("ann", "service")}
    assert len(rows("consent-register", Period(at(11), at(13)))) == 2


def test_access_is_counted_by_month_client_and_purpose(shop: Shop) -> None:
    record(1, at())
    record(2, at(1))
    record(3, at(2), subject="b" * 32)
    record(4, at(40 * 86_400), client="other")
    found = rows("access-log")
    assert [(row["month"], row["client"], row["reads"], row["customers"]) for row in found] == [
        ("2026-03", "bot", 3, 2),
        ("2026-04", "other", 1, 1),
    ]


def test_a_recipient_is_a_client_with_a_valid_key_for_view_and_purpose(shop: Shop) -> None:
    service = next(iter(catalog().registry.services.values()))
    for name in ("bot", "inactive", "without_key"):
        client = create_client(name, owner="Team", actor="Staff S")
        allowance = {"services": [service.name], "purposes": [service.purpose], "scopes": ["features:read"]}
        if name != "without_key":
            create_key(client, actor="Staff S", **allowance)
        if name == "inactive":
            deactivate(client, actor="Staff S")
    view = next(view for view in service.views if service.purpose in view.purposes)
    found = rows("records-of-processing", Period(None, database_now() + timedelta(days=1)))
    told = {(row["purpose"], row["view"]): row["recipients"] for row in found}
    assert told[service.purpose, view.name] == "bot"
    assert {row["purpose"] for row in found} >= {service.purpose}


def test_the_controller_is_named_with_third_parties(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    period = Period(None, database_now() + timedelta(days=1))
    assert {row["controller"] for row in rows("records-of-processing", period)} == {""}
    assert "RAPPORT_CONTROLLER" in REPORTS["records-of-processing"].notes(period)[1]
    texts = {"name": "Acme", "address": "Street 1", "country": "DE", "email": "a@example.org"}
    others = {"policy_url": "https://example.org", "withdrawal": "w", "storage": "s", "retention": "r"}
    lists = {"recipients": ["Post"], "special_categories": {"service": ["health"]}}
    named = Controller.model_validate({**texts, **others, **lists, "authority": "a"})
    replaced = settings().model_copy(update={"controller": named})
    monkeypatch.setattr(processing_records, "settings", lambda: replaced)
    found = {row["purpose"]: row for row in rows("records-of-processing", period)}
    assert found["service"]["controller"] == "Acme, Street 1, DE, a@example.org"
    assert (found["service"]["third_parties"], found["service"]["special_categories"]) == ("Post", "health")
    assert len(REPORTS["records-of-processing"].notes(period)) == 1


def test_every_data_location_is_listed(shop: Shop) -> None:
    found = {row["location"]: row for row in rows("data-locations")}
    assert found.keys() == {location.name for location in data_locations().in_order()}
    assert all(row["personal_data"] and row["erased_by"] for row in found.values())


def test_what_was_never_read_is_listed_and_what_was_read_is_not(shop: Shop) -> None:
    now = database_now()
    for name in ("bot", "idle"):
        create_client(name, owner="Team", actor="Staff S")
    record(1, now - timedelta(days=1))
    found = {(row["kind"], row["name"]) for row in rows("unused", Period(None, now + timedelta(seconds=1)))}
    assert ("client", "idle") in found
    assert ("client", "bot") not in found
    assert ("service", "support_chat") not in found
    assert ("purpose", "service") not in found
    assert any(kind == "view" for kind, _ in found)


def test_unused_refuses_a_time_whose_records_are_gone(shop: Shop) -> None:
    with pytest.raises(UnsoundPeriod, match="RAPPORT_ACCESS_RECORD_DAYS"):
        rows("unused", Period(at(-(10**9)), database_now()))


def test_missing_records_are_told(shop: Shop) -> None:
    now = database_now()
    process = WriterProcess.objects.create(name="p", complete_until=now, last_seen_ms=1)
    AccessGap.objects.create(process=process, reason="lost", first=1, missing=3, since=now, until=now)
    period = Period(now - timedelta(days=1), now + timedelta(days=1))
    assert "1 gaps" in REPORTS["access-log"].notes(period)[0]
    assert REPORTS["unused"].notes(period) == REPORTS["access-log"].notes(period)
