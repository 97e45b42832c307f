"""Pages of access records, searched by customer, and of access gaps."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import structlog
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display
from unfold.utils import parse_date_str

from featurestore.access.selectors import clients_of
from featurestore.accesslog import selectors
from featurestore.accesslog.models import AccessGap, AccessRecord, ReadContext
from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.backoffice.filters import DayRangeFilter
from featurestore.backoffice.paging import CappedPaginator
from featurestore.config import settings
from featurestore.customers.subject_admin import SubjectRowAdmin

SHOWN_GAPS = 10
"""Gaps shown above the records; the page of gaps lists all."""
log = structlog.get_logger(__name__)


def contexts_of(request: HttpRequest) -> QuerySet[ReadContext]:
    """The read contexts of the clients that the user may see. Contexts outlive their clients: a role sees them all."""
    if request.user.has_perm("access.view_apiclient"):
        return ReadContext.objects.all()
    return ReadContext.objects.filter(client__in=clients_of(request.user).values("name"))


class ContextFilter(DropdownFilter):
    """Filter by a field of the read contexts."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = contexts_of(request).order_by(self.parameter_name).values_list(self.parameter_name, flat=True)
        return [(name, name) for name in names.distinct()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{f"context__{self.parameter_name}": self.value()}) if self.value() else queryset


class ClientFilter(ContextFilter):
    title = parameter_name = "client"


class ServiceFilter(ContextFilter):
    title = parameter_name = "service"


class PurposeFilter(ContextFilter):
    title = parameter_name = "purpose"


@admin.register(AccessRecord)
class AccessRecordAdmin(SubjectRowAdmin):
    list_display = ["at", "customer", "client", "service", "purpose", "views", "request_id"]
    list_filter = [ClientFilter, ServiceFilter, PurposeFilter, ("at", DayRangeFilter)]
    list_before_template = "admin/accesslog/accessrecord/completeness.html"
    sortable_by = ["at"]
    ordering = ["-at"]
    paginator = CappedPaginator
    fieldsets = [
        (None, {"fields": ["at", "customer", "subject"]}),
        ("Read by", {"fields": ["client", "credential", "service", "purpose", "request_id"]}),
        ("Views", {"fields": ["given", "withheld"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessRecord]:
        records = super().get_queryset(request).select_related("context")
        every = request.user.has_perm("access.view_apiclient")
        return records if every else records.filter(context__in=contexts_of(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        first, last = (parse_date_str(request.GET.get(f"at_{end}") or "") for end in ("from", "to"))
        oldest = datetime.now(UTC) - timedelta(days=settings().access_record_days)
        zone = timezone.get_current_timezone()
        since = datetime.combine(first, time(), zone) if first else oldest
        until = datetime.combine(last, time.max, zone) if last else None
        gaps, state = selectors.gaps(since, until), selectors.stream_state()
        context = {
            "gaps": gaps[:SHOWN_GAPS],
            "gap_count": gaps.count(),
            "since": since,
            "state": state,
            "late": state is not None and state.oldest_s > selectors.LATE_S,
            "counted": self.paginator.MAX_COUNTED,
        }
        if request.GET.get("q"):  # the actor is logged, the customer is not
            log.info("access records searched", actor=request.user.get_username())
        return super().changelist_view(request, context | (extra_context or {}))

    @display(description="Client")
    def client(self, record: AccessRecord) -> str:
        return record.context.client

    @display(description="Credential")
    def credential(self, record: AccessRecord) -> str:
        return record.context.credential

    @display(description="Service")
    def service(self, record: AccessRecord) -> str:
        return record.context.service

    @display(description="Purpose")
    def purpose(self, record: AccessRecord) -> str:
        return record.context.purpose

    @display(description="Views")
    def views(self, record: AccessRecord) -> str:
        withheld = ", ".join(record.context.withheld)
        note = f"withheld: {withheld}" if withheld else ""
        return format_html("{}<small>{}</small>", ", ".join(record.context.given) or "none", note)

    @display(description="Views given")
    def given(self, record: AccessRecord) -> str:
        return ", ".join(record.context.given) or "none"

    @display(description="Views withheld")
    def withheld(self, record: AccessRecord) -> str:
        if not record.context.withheld:
            return "none"
        lines = format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", record.context.withheld.items())
        return format_html('<dl class="rp-facts">{}</dl>', lines)


@admin.register(AccessGap)
class AccessGapAdmin(ReadOnlyAdmin):
    list_display = ["until", "reason_text", "missing_text", "process", "first", "since"]
    list_filter = [("reason", ChoicesDropdownFilter), ("until", DayRangeFilter)]
    list_select_related = ["process"]
    fields = ["reason_text", "missing_text", ("since", "until"), "process", "first"]

    @display(description="Reason", ordering="reason", label={"Lost on the way": "danger"})
    def reason_text(self, gap: AccessGap) -> str:
        return gap.get_reason_display()

    @display(description="Records missing", ordering="missing")
    def missing_text(self, gap: AccessGap) -> str:
        return "Perhaps some" if gap.missing is None else f"{gap.missing:,}"
