"""Pages of clients for two kinds of staff: those whose role covers all clients, and those entrusted with single ones.

guardian's own GuardedModelAdmin would not do: it asks for no object permission itself (Django checks the role alone,
for the menu, the list and each object), and whoever may change an object may hand out any permission to it.
"""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from featurestore.access.models import ApiClient
from featurestore.access.selectors import clients_of
from featurestore.backoffice.base import StaffAdmin


class AssignedClientAdmin(StaffAdmin):
    """A model of clients, or of what belongs to one. What a role does not allow, an entrusted client may."""

    client_path = "pk"  # from the model to its client; "pk" is the client itself

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
            return self.by_trust(request, "view", obj)
        if not hasattr(request, "entrusted"):  # asked by the menu and by each page, many times
            known = request.user.is_authenticated  # guardian can't be asked about others
            request.entrusted = known and clients_of(request.user).exists()  # type: ignore[attr-defined]
        return bool(request.entrusted)  # type: ignore[attr-defined]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.by_role(request, "change") or (obj is not None and self.by_trust(request, "change", obj))

    def by_role(self, request: HttpRequest, what: str) -> bool:
        return bool(request.user.has_perm(f"{self.opts.app_label}.{what}_{self.opts.model_name}"))

    def by_trust(self, request: HttpRequest, what: str, obj: Any) -> bool:
        return bool(request.user.has_perm(f"access.{what}_apiclient", self.client_of(obj)))
