"""Figures, chart and lists of the administration's first page, each by the permission of the page behind it."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse

from adminsite.work import work_of
from featurestore.access.selectors import clients_of
from featurestore.accesslog import selectors as access_log
from featurestore.audit import selectors as audit
from featurestore.backoffice.times import time_text
from featurestore.clock import database_now
from featurestore.consent import selectors as consent
from featurestore.consent.models import ConsentRecord
from featurestore.consent.selectors import DailyDecisions, StoreStatus
from featurestore.ingest import selectors as dead_letters
from featurestore.staffreads import selectors as staff_reads

DAYS = 14
LATEST = 8
STORE = {
    StoreStatus.VOUCHED: ("Vouched for", "The store has the database's permissions. Reads are answered.", True),
    StoreStatus.PARTLY: (
        "Partly vouched for",
        "Reads of some customers are denied. The store verifier's log names the nodes.",
        False,
    ),
    StoreStatus.UNVOUCHED: (
        "Not vouched for",
        "All reads are denied. Is the store verifier running (manage.py verify_store)?",
        False,
    ),
    StoreStatus.LATCHED: (
        "Latched",
        "All reads are denied: the database has lost commits, which the store still holds. An operator must decide.",
        False,
    ),
    StoreStatus.UNAVAILABLE: (
        "Unavailable",
        "All reads are denied. Decisions are recorded and take effect later.",
        False,
    ),
}
CHART_OPTIONS = {
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "interaction": {"mode": "index", "intersect": False},
    "datasets": {"bar": {"borderRadius": 3, "maxBarThickness": 18, "categoryPercentage": 0.6}},
    "plugins": {"legend": {"position": "top", "align": "end", "labels": {"boxWidth": 10, "boxHeight": 10}}},
    "scales": {
        "x": {"grid": {"display": False}},
        "y": {"beginAtZero": True, "suggestedMax": 5, "ticks": {"precision": 0}},
    },
}


class Figure(NamedTuple):
    """A figure at the top of the page. ``good`` is None if it is not judged."""

    name: str
    value: str
    description: str
    link: str = ""
    good: bool | None = None


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The page's context for the request's user."""
    may = request.user.has_perm
    figures = [_store()]
    if may("consent.view_permissionchange"):
        figures += [_propagation(), _pending()]
    if may("audit.view_finding"):
        figures.append(_findings())
    if may("ingest.view_deadletter"):
        figures.append(_dead_letters())
    if may("accesslog.view_accessgap"):
        figures.append(_access_gaps())
    if may("staffreads.view_emergencyaccess"):
        figures.append(_emergencies())
    context |= {"title": "Overview", "figures": figures, "work": work_of(request)}
    if may("consent.view_consentrecord"):
        days = consent.decisions_by_day(DAYS)
        context |= {"days": days, "chart": _chart(days), "chart_options": json.dumps(CHART_OPTIONS)}
    if may("consent.view_consentrecord") and may("customers.view_customer"):
        context["latest"] = ConsentRecord.objects.select_related("customer", "purpose")[:LATEST]
    if may("audit.view_finding"):
        context["findings"] = audit.open_findings()[:LATEST]
    if not may("consent.view_consentrecord"):
        clients = clients_of(request.user)[:LATEST]
        context["clients"] = clients if clients or not may("requests.view_subjectrequest") else None
    return context


def _store() -> Figure:
    status, _ = consent.permissions_in_store()
    value, description, good = STORE[status]
    if status is StoreStatus.LATCHED:
        description += f" Reason: {consent.latch_reason()}"
    return Figure("The store", value, description, good=good)


def _propagation() -> Figure:
    found = consent.propagation_delay()
    link = reverse("admin:consent_permissionchange_changelist") + "?state=done"
    if found.p50_ms is None or found.p99_ms is None:
        return Figure("From decision to store", "–", "No change in the last 24 hours", link)
    value = f"{_duration(found.p50_ms)} · {_duration(found.p99_ms)}"
    counted = f"{found.changes:,} change{'' if found.changes == 1 else 's'}"
    return Figure("From decision to store", value, f"Median · 99th percentile, {counted} in 24 h", link)


def _pending() -> Figure:
    found = consent.outbox_backlog()
    link = reverse("admin:consent_permissionchange_changelist") + "?state=pending"
    description = "Not yet in the store" if found.unpublished else "Every change is in the store"
    if found.unsent_purges:
        description += f"; {found.unsent_purges:,} not yet sent to the streams"
    if found.unpublished + found.unsent_purges:
        description += f"; the oldest waits for {timedelta(seconds=round(found.oldest_s))}"
    return Figure("Pending changes", f"{found.unpublished:,}", description, link, not found.unpublished)


def _findings() -> Figure:
    count, last = audit.open_findings().count(), audit.last_audit()
    link = reverse("admin:audit_finding_changelist") + "?state__exact=open"
    if last is None:
        return Figure("Open findings", "–", "Never audited: the first audit has not ended", link, good=False)
    audited = f"Last audit {time_text(last.started_at)}" + (", which ended early" if last.error else "")
    return Figure("Open findings", f"{count:,}", audited, link, not (count or last.error))


def _dead_letters() -> Figure:
    found, link = dead_letters.quarantine_status(), reverse("admin:ingest_deadletter_changelist")
    unread = "Not read from Kafka in the last 5 minutes" if dead_letters.unread(found.read_at) else ""
    if not found.waiting:
        return Figure("Dead letters", "–" if unread else "0", unread or "None waits for a decision", link, not unread)
    description = "; ".join(filter(None, [f"The oldest waits for {dead_letters.age(found.oldest_at)}", unread]))
    return Figure("Dead letters", f"{found.waiting:,}", description, link, good=False)


def _access_gaps() -> Figure:
    found = access_log.gaps_by_reason(database_now() - access_log.DAY)
    link, count = reverse("admin:accesslog_accessgap_changelist"), sum(found.values())
    description = (
        "In the last 24 hours: reads may have no record" if count else "Every read of the last 24 hours has its record"
    )
    return Figure("Gaps in access records", f"{count:,}", description, link, not count)


def _emergencies() -> Figure:
    now = database_now()
    begun, still = staff_reads.begun_since(now - staff_reads.DAY).count(), staff_reads.in_force(now).count()
    description = f"Began in the last 24 hours; {still:,} in force" if begun else "None in the last 24 hours"
    link = reverse("admin:staffreads_emergencyaccess_changelist")
    return Figure("Emergency accesses", f"{begun:,}", description, link, not begun)


def _duration(ms: float) -> str:
    return f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:,.0f} s"


def _chart(days: Sequence[DailyDecisions]) -> str:
    series = [("Given", "var(--color-primary-500)", [day.given for day in days])]
    series += [("Withdrawn", "#dc2626", [day.withdrawn for day in days])]
    if any(day.expired for day in days):
        series += [("Expired", "#d97706", [day.expired for day in days])]
    if any(day.paused or day.lifted for day in days):
        series += [("Paused", "#64748b", [day.paused for day in days])]
        series += [("Pause lifted", "#0891b2", [day.lifted for day in days])]
    datasets = [{"label": label, "backgroundColor": colour, "data": data} for label, colour, data in series]
    return json.dumps({"labels": [f"{day.day:%-d %b}" for day in days], "datasets": datasets})
