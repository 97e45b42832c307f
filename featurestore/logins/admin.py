"""Page of login events."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.backoffice.filters import DayRangeFilter
from featurestore.backoffice.paging import CappedPaginator
from featurestore.logins.models import LoginEvent

# django-allauth's own pages check no roles and record nothing.
admin.site.unregister([EmailAddress, Authenticator])

COLOURS = {"Logged in": "success", "Failed": "danger", "Second factor reset": "warning"}


@admin.register(LoginEvent)
class LoginEventAdmin(ReadOnlyAdmin):
    list_display = ["at", "what", "staff", "actor", "address", "detail"]
    list_filter = [("kind", ChoicesDropdownFilter), ("at", DayRangeFilter)]
    search_fields = ["staff"]
    exact_search_field = "staff"
    search_help_text = "User name"
    ordering = ["-at", "-pk"]
    sortable_by = ["at"]
    paginator = CappedPaginator
    fields = ["at", "what", "staff", "actor", "address", "detail"]

    @display(description="What", label=COLOURS)
    def what(self, event: LoginEvent) -> str:
        return event.get_kind_display()
