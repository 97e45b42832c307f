"""Admin page of purposes. Name and lawful basis never change, since customers have seen both."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.validators import RegexValidator
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from featurestore.backoffice.base import StaffAdmin
from featurestore.consent import services
from featurestore.consent.errors import ConsentError
from featurestore.consent.models import MAX_VALIDITY_DAYS, Purpose
from featurestore.consent.permission_derivation import Basis

MEANINGS = {
    Basis.CONSENT: "Allowed while the customer consents. Withdrawn as easily as it was given.",
    Basis.CONTRACT: "The contract with the customer needs it. Allowed from registration to the contract's end.",
    Basis.LEGAL_OBLIGATION: "A law requires it. Allowed from registration; it can't be withdrawn.",
    Basis.LEGITIMATE_INTEREST: "Our own interest, weighed against the customer's. Allowed until the customer objects.",
}


FIELDS: dict[str, dict[str, Any]] = {
    "name": {
        "validators": [RegexValidator(r"\A[a-z][a-z0-9_]*\Z", "Lower-case letters, digits and _, a letter first.")],
        "help_text": "Views, services and keys refer to it by this name. It never changes.",
    },
    "validity_days": {
        "min_value": 1,
        "max_value": MAX_VALIDITY_DAYS,
        "help_text": "Days after which a consent ends. Empty: it has no end.",
    },
}


@admin.register(Purpose)
class PurposeAdmin(StaffAdmin):
    service_errors = (ConsentError,)
    list_display = ["title", "name", "basis", "means", "validity_days", "state"]
    list_filter = [("lawful_basis", ChoicesDropdownFilter)]
    fieldsets = [
        (None, {"fields": ["title", "name", "description"]}),
        ("Lawful basis", {"fields": ["lawful_basis", "means", "validity_days", "state"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["title", "name", "description"]}),
        (
            "Lawful basis",
            {
                "fields": ["lawful_basis", "validity_days"],
                "description": "<br>".join(
                    f"<b>{basis.label}.</b> {MEANINGS[Basis(basis)]}" for basis in Purpose.Basis
                ),
            },
        ),
    ]
    actions_detail = ["retire"]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_dbfield(db_field, request, **kwargs, **FIELDS.get(db_field.name, {}))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["name", "lawful_basis", "means", "state"] if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        retired = isinstance(obj, Purpose) and not obj.active
        return not retired and super().has_change_permission(request, obj)

    @display(description="Lawful basis", ordering="lawful_basis", label=True)
    def basis(self, purpose: Purpose) -> str:
        return purpose.get_lawful_basis_display()

    @display(description="Meaning")
    def means(self, purpose: Purpose) -> str:
        return MEANINGS[Basis(purpose.lawful_basis)]

    @display(description="State", ordering="active", label={"In use": "success", "Retired": "warning"})
    def state(self, purpose: Purpose) -> str:
        return "In use" if purpose.active else "Retired"

    def save_model(self, request: HttpRequest, obj: Purpose, form: forms.ModelForm, change: bool) -> None:
        saved = services.define_purpose(
            obj.name,
            title=obj.title,
            lawful_basis=obj.lawful_basis,
            description=obj.description,
            validity_days=obj.validity_days,
        )
        obj.pk = saved.pk

    def has_retire_permission(self, request: HttpRequest, object_id: str) -> bool:
        purpose = self.get_object(request, object_id)
        return purpose is not None and self.has_change_permission(request, purpose)

    @action(description="Retire", url_path="retire", permissions=["retire"], variant=ActionVariant.DANGER)
    def retire(self, request: HttpRequest, object_id: str) -> HttpResponse:
        purpose = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            retired, effective = services.retire_purpose(purpose.name)
            self.log_change(request, retired, "Retired.")
            if effective:
                messages.success(request, "Retired. Every grant has ended, with a consent record for each customer.")
            else:
                messages.warning(
                    request, "Retired. Some grants have not ended in the store yet: see Permission changes."
                )
            return self.redirect_to(retired)

        return self.confirm(
            request,
            purpose,
            forms.Form,
            then,
            title="Retire purpose",
            button="Retire for good",
            danger=True,
            lead="No customer can consent to it any more, and every grant of it ends. This can't be undone: to ask "
            "customers again, define a new purpose.",
            facts=[("Purpose", purpose.name), ("Lawful basis", purpose.get_lawful_basis_display())],
        )
