"""Paginator of tables that are too long to be counted."""

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet


class CappedPaginator(Paginator):
    """Paginator of the first MAX_COUNTED rows. A filter or search finds the later ones."""

    MAX_COUNTED = 1000

    @cached_property
    def count(self) -> int:
        """At most MAX_COUNTED: the database stops counting there."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # what the administration pages
        return rows.order_by().values("pk")[: self.MAX_COUNTED].count()
