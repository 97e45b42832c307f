"""Admin page of the places elsewhere that keep the audit log's tree heads."""

from django.contrib import admin
from unfold.decorators import display

from featurestore.auditlog.models import HeadDestination
from featurestore.auditlog.selectors import last_head
from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.config import settings


@admin.register(HeadDestination)
class HeadDestinationAdmin(ReadOnlyAdmin):
    list_display = ["address", "status", "size", "sent_at", "error"]
    fieldsets = [
        (None, {"fields": ["address", "status"]}),
        ("Last tree head that was sent", {"fields": ["size", "sent_at"]}),
        ("Attempts that failed since", {"fields": ["attempts", "error", "next_attempt_at"]}),
    ]

    @display(description="State", label={"Up to date": "success", "Failing": "danger", "Waiting": "info"})
    def status(self, place: HeadDestination) -> str:
        if place.address not in settings().audit_log_places:
            return "Not in the settings"
        if place.error:
            return "Failing"
        return "Up to date" if (head := last_head()) and head.size == place.size else "Waiting"
