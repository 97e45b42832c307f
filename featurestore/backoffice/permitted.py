"""Rows of other models that a page may name to its user: in filters, in choices, in lists."""

from typing import Any, TypeVar

from django.contrib import admin
from django.contrib.admin.exceptions import NotRegistered
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RelatedDropdownFilter

ModelT = TypeVar("ModelT", bound=Model)


def permitted(request: HttpRequest, model: type[ModelT]) -> QuerySet[ModelT]:
    """The rows of a model that the user may see on the model's own page: none if the user may not open it."""
    try:
        page = admin.site.get_model_admin(model)
    except NotRegistered:
        return model._default_manager.none()
    return page.get_queryset(request) if page.has_view_permission(request) else model._default_manager.none()


class PermittedRelatedFilter(RelatedDropdownFilter):
    """Filter by a related row. It offers those that the user may see; Django's and unfold's offer every row."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        rows = permitted(request, field.remote_field.model).order_by().values("pk")
        ordering = self.field_admin_ordering(field, request, model_admin)
        choices: list[tuple[Any, str]] = field.get_choices(
            include_blank=False, limit_choices_to={"pk__in": rows}, ordering=ordering
        )
        return choices
