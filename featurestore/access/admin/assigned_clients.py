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
    """Page of clients, or of what belongs to one. The role must permit it, or the assignment to the client."""

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
            return self.by_assignment(request, "view", obj)
        if not hasattr(request, "assigned"):  # the menu and the page ask many times
            known = request.user.is_authenticated  # guardian accepts no anonymous user
            request.assigned = known and clients_of(request.user).exists()  # type: ignore[attr-defined]
        return bool(request.assigned)  # type: ignore[attr-defined]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.by_role(request, "change") or (obj is not None and self.by_assignment(request, "change", obj))

    def by_role(self, request: HttpRequest, what: str) -> bool:
        return bool(request.user.has_perm(f"{self.opts.app_label}.{what}_{self.opts.model_name}"))

    def by_assignment(self, request: HttpRequest, what: str, obj: Any) -> bool:
        return bool(request.user.has_perm(f"access.{what}_apiclient", self.client_of(obj)))
