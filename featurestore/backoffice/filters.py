"""Filters of list pages."""

from datetime import datetime, time
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.utils import parse_date_str


class DayRangeFilter(RangeDateFilter):
    """Filter of a time field by first and last day, both included, in the time zone of what is shown.

    unfold's own filter ends at the start of the last day, without a time zone.
    """

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, last = (
            parse_date_str(self.used_parameters.get(f"{self.parameter_name}_{end}") or "") for end in ("from", "to")
        )
        zone = timezone.get_current_timezone()
        if first:
            queryset = queryset.filter(**{f"{self.field_path}__gte": datetime.combine(first, time(), zone)})
        if last:
            queryset = queryset.filter(**{f"{self.field_path}__lte": datetime.combine(last, time.max, zone)})
        return queryset
