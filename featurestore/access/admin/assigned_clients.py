"""Base class of the pages of clients, keys and secrets, for staff who may see all clients, or those assigned to them.

django-guardian's GuardedModelAdmin does not fit: it checks no object permission itself (Django checks only the role,
for the menu, the list and each object), and everyone who may change an object may grant any permission to it.
"""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from featurestore.access.models import ApiClient
from featurestore.access.selectors import clients_of
from featurestore.backoffice.base import StaffAdmin


class AssignedClientAdmin(StaffAdmin):
    """Page of clients, or of what belongs to one. It shows a row to whom its role shows every row of the page or every
    client, and to whom the row's client is assigned. Fields are changed by role alone: see ``may_manage``.
    """

    client_path = "pk"  # field that holds the client; "pk" where the object is the client

    def client_of(self, obj: Any) -> ApiClient:
        client: ApiClient = obj if self.client_path == "pk" else getattr(obj, self.client_path)
        return client

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        seen = super().get_queryset(request)
        if self.by_role(request, "view"):
            return seen
        return seen.filter(**{f"{self.client_path}__in": clients_of(request.user)})

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if self.by_role(request, "view"):
            return True
        if obj is not None:
            return clients_of(request.user).filter(pk=self.client_of(obj).pk).exists()
        if not hasattr(request, "assigned"):  # the menu and the page ask many times
            known = request.user.is_authenticated  # guardian accepts no anonymous user
            request.assigned = known and clients_of(request.user).exists()  # type: ignore[attr-defined]
        return bool(request.assigned)  # type: ignore[attr-defined]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.by_role(request, "change")

    def may_manage(self, request: HttpRequest, obj: Any) -> bool:
        """Whether the user may do what ends or renews: rotate, revoke, set inactive. An assignment allows no more."""
        assigned = request.user.has_perm("access.change_apiclient", self.client_of(obj))
        return self.by_role(request, "change") or bool(assigned)

    def by_role(self, request: HttpRequest, what: str) -> bool:
        return bool(request.user.has_perm(f"{self.opts.app_label}.{what}_{self.opts.model_name}"))
