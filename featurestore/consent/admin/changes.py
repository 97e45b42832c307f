"""Admin page of the outbox: changes to publish to the store, and their purges to send to the streams; read-only."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from featurestore.backoffice.filters import DayRangeFilter
from featurestore.consent.models import PENDING, PermissionChange
from featurestore.customers.subject_admin import SubjectRowAdmin


class PendingFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("pending", "Pending"), ("done", "In effect")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "pending":
                return queryset.filter(PENDING)
            case "done":
                return queryset.exclude(PENDING)
        return queryset


@admin.register(PermissionChange)
class PermissionChangeAdmin(SubjectRowAdmin):
    list_display = ["sequence", "created_at", "customer", "state", "delay", "purge_state", "attempts", "last_error"]
    list_filter = [PendingFilter, ("created_at", DayRangeFilter)]
    ordering = ["-sequence"]
    fieldsets = [
        (None, {"fields": ["sequence", "customer", "subject", "created_at", "state", "published_at", "delay"]}),
        ("Purge by the streams", {"fields": ["purge_state", "purge_sent_at"]}),
        ("Consent journal", {"fields": ["journaled_at"]}),
        ("Attempts", {"fields": ["attempts", "next_attempt_at", "last_error"]}),
    ]

    @display(description="State", label={"In effect": "success", "Pending": "warning"})
    def state(self, change: PermissionChange) -> str:
        return "In effect" if change.published_at else "Pending"

    @display(description="Took")
    def delay(self, change: PermissionChange) -> str | None:
        if change.published_at is None:
            return None
        return f"{(change.published_at - change.created_at) / timedelta(milliseconds=1):,.0f} ms"

    @display(description="Purge", label={"Sent": "success", "Not yet sent": "warning"})
    def purge_state(self, change: PermissionChange) -> str:
        if not change.purge:
            return "Not needed"
        return "Sent" if change.purge_sent_at else "Not yet sent"
