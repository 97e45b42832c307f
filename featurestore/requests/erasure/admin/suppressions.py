"""Admin page of suppressions: how many there are, and how often each has refused something. It shows no identifier."""

from django.contrib import admin

from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.backoffice.filters import DayRangeFilter
from featurestore.customers.models import Suppression


@admin.register(Suppression)
class SuppressionAdmin(ReadOnlyAdmin):
    list_display = ["erased_at", "refused", "refused_at", "key_id", "normalisation"]
    list_filter = [("erased_at", DayRangeFilter), ("refused_at", DayRangeFilter)]
    ordering = ["-refused_at", "-erased_at", "-pk"]
    fieldsets = [(None, {"fields": ["erased_at", "refused", "refused_at", "key_id", "normalisation"]})]
