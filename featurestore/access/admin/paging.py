"""Pages of tables that are too long to be counted."""

from functools import cached_property

from django.core.paginator import Paginator


class FirstPages(Paginator):
    """The first COUNTED rows, in pages. What is beyond them is found by a narrower question."""

    COUNTED = 1000

    @cached_property
    def count(self) -> int:  # type: ignore[override]  # Django's stubs take it for a property
        """At most COUNTED: the database stops there."""
        return self.object_list.order_by().values("pk")[: self.COUNTED].count()  # type: ignore[union-attr]
