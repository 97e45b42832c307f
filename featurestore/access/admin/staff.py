"""Staff and their roles; the reset of a second factor. Only a superuser gives roles and rights, and resets."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from featurestore.access.audit_entries import log_change, log_rights, log_role
from featurestore.backoffice.base import StaffAdmin
from featurestore.backoffice.permitted import PermittedRelatedFilter
from featurestore.backoffice.reauthentication import ask_again
from featurestore.logins.second_factor import has_second_factor
from featurestore.logins.services import reset_second_factor

admin.site.unregister([User, Group])
RIGHTS = ("is_superuser", "groups", "user_permissions")


class ResetForm(forms.Form):
    """Why a second factor is reset."""

    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="How you made sure that this person asks, for example: showed their badge. Kept in the login events.",
    )


class RightsAdmin(StaffAdmin):
    """Page that gives or takes rights: each asks for password or second factor before it opens, and is logged."""

    logged_as: str

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return ModelAdmin.has_delete_permission(self, request, obj)

    def log_saved(self, saved: Any, actor: str) -> None:
        """Append to the audit log what was saved."""
        raise NotImplementedError

    def save_related(self, request: HttpRequest, form: Any, *args: Any, **kwargs: Any) -> None:
        super().save_related(request, form, *args, **kwargs)
        self.log_saved(form.instance, request.user.get_username())

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            name = str(obj)
            super().delete_model(request, obj)
            log_change(f"{self.logged_as}.deleted", request.user.get_username(), **{self.logged_as: name})

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return ask_again(request) or super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return ask_again(request) or super().delete_view(request, *args, **kwargs)


@admin.register(User)
class StaffMemberAdmin(UserAdmin, RightsAdmin):  # type: ignore[misc]  # the stubs of the bases disagree
    logged_as = "staff"
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "roles", "is_active", "is_superuser", "last_login"]
    list_filter = [("groups", PermittedRelatedFilter), "is_active", "is_superuser"]
    actions = None
    actions_detail = ["reset_factor"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def log_saved(self, saved: User, actor: str) -> None:
        log_rights(saved, actor)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_readonly_fields(request, obj) if request.user.is_superuser else RIGHTS

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A superuser's page, with the password, is a superuser's to change."""
        above = isinstance(obj, User) and obj.is_superuser and not request.user.is_superuser
        return not above and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser) and super().has_delete_permission(request, obj)

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return ask_again(request) or super().user_change_password(request, *args, **kwargs)

    @display(description="Roles", label=True)
    def roles(self, user: User) -> list[str]:
        return [group.name for group in user.groups.all()]

    def has_reset_factor_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Of others: one's own is changed at "Your second factor", with the factor itself."""
        staff = self.get_object(request, object_id)
        return (
            staff is not None and staff != request.user and bool(request.user.is_superuser) and has_second_factor(staff)
        )

    @action(
        description="Reset the second factor",
        url_path="reset-second-factor",
        permissions=["reset_factor"],
        variant=ActionVariant.DANGER,
    )
    def reset_factor(self, request: HttpRequest, object_id: str) -> HttpResponse:
        staff = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            reset_second_factor(staff, actor=request.user.get_username(), reason=answers["reason"])
            self.log_change(request, staff, "Second factor reset.")
            messages.success(request, "Reset. All sessions have ended; the next login asks to set up a second factor.")
            return self.redirect_to(staff)

        return self.confirm(
            request,
            staff,
            ResetForm,
            then,
            title=f"Reset the second factor of {staff.get_username()}",
            button="Reset now",
            danger=True,
            lead="For a person who has lost telephone, passkey and recovery codes. Their factors are deleted and their "
            "sessions end. Until they have set up a new one, their password alone opens the page that does that: "
            "set a new password too if it may be known.",
        )


@admin.register(Group)
class RoleAdmin(GroupAdmin, RightsAdmin):  # type: ignore[misc]  # as above
    logged_as = "role"
    list_display = ["name", "members"]
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(count=Count("user"))

    def log_saved(self, saved: Group, actor: str) -> None:
        log_role(saved, actor)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    @display(description="Members")
    def members(self, group: Group) -> int:
        return group.count  # type: ignore[attr-defined]  # annotated
