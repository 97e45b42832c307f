"""Admin page of emergency accesses, and of a customer's values as a chat engine would be told them."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from unfold.contrib.filters.admin import AllValuesCheckboxFilter
from unfold.decorators import display

from featurestore.backoffice.reauthentication import ask_again
from featurestore.customers.subject_admin import SubjectRowAdmin
from featurestore.staffreads.admin.values import ValuesForm, views_of
from featurestore.staffreads.errors import StaffReadError
from featurestore.staffreads.models import EmergencyAccess
from featurestore.staffreads.selectors import VIEW_VALUES, may_look
from featurestore.staffreads.services import look

RECORDED = "Each look is recorded: in the audit log with your name, and among the customer's access records."
EMERGENCY = (
    "You may not view the values of customers. In an emergency you may for 30 minutes, if you state why. "
    "Privacy officers are alerted."
)


@admin.register(EmergencyAccess)
class EmergencyAccessAdmin(SubjectRowAdmin):
    list_display = ["began_at", "customer", "staff", "status", "reason"]
    list_filter = [("staff", AllValuesCheckboxFilter)]
    fieldsets = [(None, {"fields": ["customer", "subject", "staff", "reason", "began_at", "ends_at"]})]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # it begins with the first look

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(is_in_force=Q(ends_at__gt=Now()))

    @display(description="State", label={"In force": "warning"})
    def status(self, access: Any) -> str:
        return "In force" if access.is_in_force else "Ended"

    def get_urls(self) -> list[URLPattern]:
        values = path("values/", self.admin_site.admin_view(self.values), name="staffreads_values")
        return [values, *super().get_urls()]

    def values(self, request: HttpRequest) -> HttpResponse:
        """Page that shows what a chat engine would be told of a customer now."""
        if not may_look(request.user):
            raise PermissionDenied
        may_view = request.user.has_perm(VIEW_VALUES)
        if again := ask_again(request):
            return again
        posted = request.POST if request.method == "POST" else None
        form = ValuesForm(posted, initial=request.GET.dict(), may_view=may_view)
        context: dict[str, Any] = {"form": form, "title": "What a chat engine is told"}
        if form.is_valid():
            staff, reason = request.user.get_username(), form.cleaned_data.get("reason", "")
            try:
                answer = look(form.question, staff, may_view=may_view, reason=reason)
            except StaffReadError as error:
                form.add_error(None, str(error))
            else:
                context |= {"answer": answer, "views": views_of(answer)}
        lead = RECORDED if may_view else f"{EMERGENCY} {RECORDED}"
        return self.render_page(request, None, "admin/staffreads/values.html", lead=lead, **context)
