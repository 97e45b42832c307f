"""Admin page of consent records: search and filters, read-only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from featurestore.backoffice.filters import DayRangeFilter
from featurestore.backoffice.permitted import PermittedRelatedFilter
from featurestore.consent.models import ConsentRecord
from featurestore.customers.subject_admin import CustomerRowAdmin

COLOURS = {
    "Given": "success",
    "Withdrawn": "danger",
    "Expired": "warning",
    "Paused": "warning",
    "Pause lifted": "success",
}


@admin.register(ConsentRecord)
class ConsentRecordAdmin(CustomerRowAdmin):
    customer_column = "customer_link"
    list_display = [
        "at",
        "decided_at",
        "customer_link",
        "purpose",
        "decided",
        "superseded",
        "method",
        "actor",
        "notice",
        "reason",
    ]
    list_filter = [("purpose", PermittedRelatedFilter), ("decision", ChoicesDropdownFilter), ("at", DayRangeFilter)]
    list_select_related = ["customer", "purpose", "notice"]
    search_fields = ["customer__customer_id"]
    exact_search_field = "customer__customer_id"
    search_help_text = "Customer id, in full"
    ordering = ["-sequence"]
    fieldsets = [
        (None, {"fields": ["customer_link", "purpose", "decided", "decided_at", "at", "superseded", "since", "until"]}),
        ("How and why", {"fields": ["method", "notice", "actor", "reason", "sequence"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConsentRecord]:
        return super().get_queryset(request).select_related("customer", "purpose", "notice")

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return self.search_fields if self.may_see_customers(request) else []

    @display(description="Decision", ordering="decision", label=COLOURS)
    def decided(self, record: ConsentRecord) -> str:
        return record.get_decision_display()

    @display(description="Customer")
    def customer_link(self, record: ConsentRecord) -> Any:
        address = reverse("admin:customers_customer_change", args=[record.customer_id])
        return format_html('<a class="rp-link" href="{}">{}</a>', address, record.customer.customer_id)
