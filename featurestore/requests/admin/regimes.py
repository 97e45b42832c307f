"""Admin pages of regimes, their rules and their holidays. A rule is added and never changed."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from unfold.decorators import display

from featurestore.backoffice.base import ReadOnlyAdmin, StaffAdmin
from featurestore.backoffice.permitted import PermittedRelatedFilter
from featurestore.requests.models import Holiday, Regime, RegimeRule

PHRASES = {"business_days": "business days", "days": "days", "months": "months"}


@admin.register(Regime)
class RegimeAdmin(ReadOnlyAdmin):
    list_display = ["title", "name", "time_zone", "rolls", "pausable"]
    fields = ["title", "name", "time_zone", "rolls", "pausable"]


class AddedOnlyAdmin(StaffAdmin):
    """Page of rows that are added and never changed, because requests depend on them."""

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(RegimeRule)
class RegimeRuleAdmin(AddedOnlyAdmin):
    list_display = ["regime", "of_type", "effective_from", "acknowledged", "answered", "extended", "source"]
    list_filter = [("regime", PermittedRelatedFilter)]
    list_select_related = ["regime"]
    ordering = ["regime", "type", "-effective_from"]
    fields = [
        *("regime", "type", "effective_from", "acknowledge_within", "acknowledge_unit", "answer_within"),
        *("answer_unit", "extend_by", "extend_unit", "source"),
    ]

    @display(description="Type", ordering="type")
    def of_type(self, rule: RegimeRule) -> str:
        return rule.get_type_display() or "Every other"

    @display(description="Acknowledge within", empty_value="–")
    def acknowledged(self, rule: RegimeRule) -> str | None:
        return _phrase(rule.acknowledge_within, rule.acknowledge_unit)

    @display(description="Answer within")
    def answered(self, rule: RegimeRule) -> str | None:
        return _phrase(rule.answer_within, rule.answer_unit)

    @display(description="Extension", empty_value="–")
    def extended(self, rule: RegimeRule) -> str | None:
        return _phrase(rule.extend_by, rule.extend_unit)


def _phrase(number: int | None, unit: str) -> str | None:
    """
    >>> _phrase(1, "months"), _phrase(10, "business_days"), _phrase(None, "days")
    ('1 month', '10 business days', None)
    """
    if number is None:
        return None
    return f"{number} {PHRASES[unit] if number > 1 else PHRASES[unit][:-1]}"


@admin.register(Holiday)
class HolidayAdmin(StaffAdmin):
    list_display = ["day", "name", "regime"]
    list_filter = [("regime", PermittedRelatedFilter)]
    list_select_related = ["regime"]
    ordering = ["-day"]
    fields: Any = ["regime", "day", "name"]
