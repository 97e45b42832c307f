"""Pages of tables that are too long to be counted."""

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet


class FirstPages(Paginator):
    """The first COUNTED rows, in pages. What is beyond them is found by a narrower question."""

    COUNTED = 1000

    @cached_property
    def count(self) -> int:
        """At most COUNTED: the database stops there."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # what the administration pages
        return rows.order_by().values("pk")[: self.COUNTED].count()
