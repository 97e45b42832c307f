"""Staff and their roles. Only a superuser gives roles, permissions and the superuser's rights."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from featurestore.backoffice.permitted import PermittedRelatedFilter

admin.site.unregister([User, Group])
RIGHTS = ("is_superuser", "groups", "user_permissions")


@admin.register(User)
class StaffMemberAdmin(UserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "roles", "is_active", "is_superuser", "last_login"]
    list_filter = [("groups", PermittedRelatedFilter), "is_active", "is_superuser"]
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_readonly_fields(request, obj) if request.user.is_superuser else RIGHTS

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A superuser's page, with the password, is a superuser's to change."""
        above = isinstance(obj, User) and obj.is_superuser and not request.user.is_superuser
        return not above and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser) and super().has_delete_permission(request, obj)

    @display(description="Roles", label=True)
    def roles(self, user: User) -> list[str]:
        return [group.name for group in user.groups.all()]


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin):
    list_display = ["name", "members"]
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(count=Count("user"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    @display(description="Members")
    def members(self, group: Group) -> int:
        return group.count  # type: ignore[attr-defined]  # annotated
