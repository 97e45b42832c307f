"""Admin pages of access records: searched by customer, filtered, with their gaps; requests per client."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from featurestore.access import usage
from featurestore.access.services import assign_client
from featurestore.accesslog import selectors
from featurestore.accesslog.models import AccessGap, AccessRecord
from featurestore.accesslog.stream import StreamState
from featurestore.backoffice.paging import CappedPaginator
from tests.admin.environment import AdminEnvironment

LIST = reverse("admin:accesslog_accessrecord_changelist")
DAY = timedelta(days=1)


@pytest.fixture
def olivia(env: AdminEnvironment) -> Client:
    env.access_record("C42", 1, mood="refused")
    env.access_record("C42", 2)
    env.access_record("C1", 3)
    return env.log_in("olivia")


def found(browser: Client, **query: str) -> int:
    return browser.get(LIST, query).context["cl"].result_count


def test_access_records_are_found_by_customer_id_and_by_subject(env: AdminEnvironment, olivia: Client) -> None:
    assert (found(olivia, q="C42"), found(olivia, q=env.customers["C42"].subject)) == (2, 2)
    assert (found(olivia, q="C1"), found(olivia, q="C4"), found(olivia)) == (1, 0, 3)


def test_access_record_shows_client_customer_purpose_and_views(olivia: Client) -> None:
    page = olivia.get(LIST, {"q": "C42"}).content.decode()
    for text in ("support-bot", "support_chat", "service", "spend, returns", "withheld: mood", "turn-0001", "C42"):
        assert text in page
    record = AccessRecord.objects.get(request_id="turn-0001")
    page = olivia.get(reverse("admin:accesslog_accessrecord_change", args=[record.pk])).content.decode()
    for text in ("0123456789ab", "refused", record.subject, "turn-0001"):
        assert text in page


def test_access_records_are_filtered_by_client_service_purpose_day(olivia: Client) -> None:
    today, tomorrow = (f"{datetime.now(UTC) + days:%Y-%m-%d}" for days in (0 * DAY, DAY))
    yesterday = f"{datetime.now(UTC) - DAY:%Y-%m-%d}"
    for name, value in {"client": "support-bot", "service": "support_chat", "purpose": "service"}.items():
        assert (found(olivia, **{name: value}), found(olivia, **{name: "other"})) == (3, 0)
    assert found(olivia, q="C42", at_from=yesterday, at_to=today) == 2
    assert found(olivia, at_from=tomorrow, at_to=tomorrow) == 0


def test_gaps_are_shown_above_the_access_records(olivia: Client) -> None:
    page = olivia.get(LIST)
    assert page.context["gap_count"] == 3
    assert "Lost on the way" in page.content.decode()
    tomorrow = f"{datetime.now(UTC) + DAY:%Y-%m-%d}"
    page = olivia.get(LIST, {"at_from": tomorrow, "at_to": tomorrow})
    assert "No gap is known" in page.content.decode()
    gap = AccessGap.objects.first()
    assert gap is not None
    assert "Lost on the way" in olivia.get(reverse("admin:accesslog_accessgap_change", args=[gap.pk])).content.decode()


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (None, "The control Redis does not answer"),
        (StreamState(100, 300.0, 0), "Records are not being written"),
        (StreamState(3, 1.0, 0), None),
    ],
)
def test_access_records_not_yet_written_are_reported(
    olivia: Client, monkeypatch: pytest.MonkeyPatch, state: StreamState | None, text: str | None
) -> None:
    monkeypatch.setattr(selectors, "stream_state", lambda: state)
    page = olivia.get(LIST).content.decode()
    assert (text or "Is anything missing?") in page
    assert ("not listed yet" in page) is (text is not None)


def test_long_table_is_counted_up_to_a_limit(olivia: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CappedPaginator, "MAX_COUNTED", 2)
    page = olivia.get(LIST)
    assert page.context["cl"].result_count == 2
    assert "Only the newest 2" in page.content.decode()


def test_access_records_and_gaps_can_not_be_changed(env: AdminEnvironment, olivia: Client) -> None:
    for name in ("olivia", "root"):
        browser = env.log_in(name)
        for model, row in (("accessrecord", AccessRecord.objects.first()), ("accessgap", AccessGap.objects.first())):
            assert row is not None
            assert browser.get(reverse(f"admin:accesslog_{model}_add")).status_code == 403
            change = reverse(f"admin:accesslog_{model}_change", args=[row.pk])
            assert browser.post(change, {"request_id": "forged", "missing": "0"}).status_code == 403


def test_customer_page_links_to_the_access_records(env: AdminEnvironment, olivia: Client) -> None:
    customer = env.customers["C42"]
    assert (
        "Who read this" in olivia.get(reverse("admin:customers_customer_change", args=[customer.pk])).content.decode()
    )
    page = olivia.get(reverse("admin:customers_customer_reads", args=[customer.pk]), follow=True)
    assert page.context["cl"].result_count == 2


def test_pages_of_access_records_are_not_cached(olivia: Client) -> None:
    assert "no-store" in olivia.get(LIST, {"q": "C42"}).headers["Cache-Control"]


def test_search_is_logged_with_the_user_and_without_the_customer(
    olivia: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        olivia.get(LIST, {"q": "C42"})
    (line,) = [r.msg for r in caplog.records if "access records searched" in str(r.msg)]
    assert "olivia" in str(line)
    assert "C42" not in str(line)


def test_client_page_shows_its_requests_and_errors(env: AdminEnvironment, olivia: Client) -> None:
    client = env.key()[0].client
    page = olivia.get(reverse("admin:access_apiclient_change", args=[client.pk]))
    assert [(u.route, u.status, u.day, u.week, u.failed) for u in page.context["usage"]] == [
        ("features", 200, 3, 3, False)
    ]
    page = olivia.get(reverse("admin:access_apiclient_changelist"))
    assert [(u.status, u.day, u.failed) for u in page.context["usage"]] == [(401, 6, True)]


def test_requests_without_a_known_client_are_shown_only_to_roles(env: AdminEnvironment, olivia: Client) -> None:
    assign_client(env.key()[0].client, User.objects.get(username="chris"), actor="petra")
    page = env.log_in("chris").get(reverse("admin:access_apiclient_changelist"))
    assert (page.status_code, page.context["usage"]) == (200, [])


def test_usage_counts_the_last_day_and_the_last_week(env: AdminEnvironment) -> None:
    env.access_record()
    now = datetime.now(UTC)
    assert [(u.day, u.week) for u in usage.client_usage("support-bot", now + 2 * DAY)] == [(0, 1)]
    assert usage.client_usage("support-bot", now + 8 * DAY) == []
