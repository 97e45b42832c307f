"""Menu of the administration: the pages that the user may view."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.templatetags.admin_urls import admin_urlname
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from featurestore.access.models import ApiClient, ApiKey, ClientSecret
from featurestore.accesslog.models import AccessGap, AccessRecord
from featurestore.audit.models import AuditRun, Finding
from featurestore.auditlog.models import EntryContent, HeadDestination, LogVerification
from featurestore.consent.models import ConsentRecord, Notice, PermissionChange, Purpose
from featurestore.customers.models import Customer, LegalHold, Suppression
from featurestore.ingest.models import DeadLetter
from featurestore.logins.models import LoginEvent
from featurestore.requests.erasure.models import Erasure
from featurestore.requests.export.models import DataExport
from featurestore.requests.models import CustomerMessage, Holiday, Regime, RegimeRule, SubjectRequest
from featurestore.retention.models import EvictionRun, RetentionRule, RetentionRun
from featurestore.staffreads.models import EmergencyAccess
from featurestore.staffreads.selectors import may_look

GROUPS: list[tuple[str, list[tuple[str, str, type[Model]]]]] = [
    (
        "Consent",
        [
            ("Customers", "group", Customer),
            ("Consent records", "history", ConsentRecord),
            ("Access records", "visibility", AccessRecord),
            ("Exports", "archive", DataExport),
            ("Purposes", "target", Purpose),
            ("Notices", "article", Notice),
        ],
    ),
    (
        "Requests",
        [
            ("Requests", "contract", SubjectRequest),
            ("Messages", "outgoing_mail", CustomerMessage),
            ("Erasures", "delete_sweep", Erasure),
            ("Legal holds", "gavel", LegalHold),
            ("Suppressions", "block", Suppression),
            ("Regimes", "balance", Regime),
            ("Regime rules", "rule", RegimeRule),
            ("Holidays", "event_busy", Holiday),
            ("Retention rules", "schedule", RetentionRule),
            ("Retention runs", "auto_delete", RetentionRun),
        ],
    ),
    (
        "Assurance",
        [
            ("Findings", "troubleshoot", Finding),
            ("Audit runs", "fact_check", AuditRun),
            ("Audit log", "lock_clock", EntryContent),
            ("Log verifications", "verified", LogVerification),
            ("Places of tree heads", "account_tree", HeadDestination),
            ("Evictions", "inventory_2", EvictionRun),
            ("Permission changes", "outbox", PermissionChange),
            ("Access gaps", "visibility_off", AccessGap),
            ("Emergency accesses", "emergency_home", EmergencyAccess),
            ("Dead letters", "unsubscribe", DeadLetter),
        ],
    ),
    (
        "Access",
        [
            ("API clients", "smart_toy", ApiClient),
            ("API keys", "key", ApiKey),
            ("Client secrets", "password", ClientSecret),
        ],
    ),
    (
        "Staff",
        [("People", "person", User), ("Roles", "badge", Group), ("Login events", "login", LoginEvent)],
    ),
]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Unfold's sidebar for a request, without empty groups."""
    overview = {"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")}
    values = {"title": "What a chat engine is told", "icon": "smart_toy", "link": reverse("admin:staffreads_values")}
    groups = [{"items": [overview, values] if may_look(request.user) else [overview]}]
    for title, entries in GROUPS:
        items = [
            {"title": name, "icon": icon, "link": reverse(admin_urlname(model._meta, "changelist"))}  # type: ignore[arg-type]
            for name, icon, model in entries
            if admin.site.get_model_admin(model).has_view_permission(request)
        ]
        if items:
            groups.append({"title": title, "separator": True, "items": items})  # type: ignore[dict-item]
    return groups
