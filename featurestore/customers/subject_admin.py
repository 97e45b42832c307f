"""Base classes of admin pages whose rows are about a customer, who is shown to users who may view customers."""

from typing import Any, ClassVar

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from featurestore.backoffice.base import ReadOnlyAdmin, found_exactly
from featurestore.customers.models import Customer
from featurestore.customers.selectors import stored_subject


class CustomerRowAdmin(ReadOnlyAdmin):
    """Admin page of rows about a customer. Who may not view customers sees neither the column nor the field."""

    customer_column: ClassVar[str] = "customer"

    def may_see_customers(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("customers.view_customer"))

    def get_list_display(self, request: HttpRequest) -> list[str]:
        shown = list(super().get_list_display(request))
        return shown if self.may_see_customers(request) else [name for name in shown if name != self.customer_column]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        may = self.may_see_customers(request)
        return [
            (title, {**options, "fields": [name for name in options["fields"] if may or name != self.customer_column]})
            for title, options in super().get_fieldsets(request, obj)
        ]


class SubjectRowAdmin(CustomerRowAdmin):
    """Admin page of a model with a field ``subject``. The customer is joined in the page's own query."""

    search_fields = ["subject"]
    search_help_text = "Subject or customer id, in full"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        wanted = [search_term]
        if self.may_see_customers(request):
            wanted.append(stored_subject(search_term))
        return found_exactly(request, queryset.filter(subject__in=wanted), search_term), False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        customer = Customer.objects.filter(subject=OuterRef("subject"), erased_at=None)
        return (
            super()
            .get_queryset(request)
            .annotate(
                customer_pk=Subquery(customer.values("pk")[:1]),
                customer_name=Subquery(customer.values("customer_id")[:1]),
            )
        )

    @display(description="Customer", empty_value="unknown")
    def customer(self, row: Any) -> Any:
        if row.customer_pk is None:
            return None
        address = reverse("admin:customers_customer_change", args=[row.customer_pk])
        return format_html('<a class="rp-link" href="{}">{}</a>', address, row.customer_name)
