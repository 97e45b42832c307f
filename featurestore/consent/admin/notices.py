"""Admin page of notices. A published notice never changes; a new text is a new version."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from featurestore.backoffice.base import StaffAdmin
from featurestore.backoffice.permitted import PermittedRelatedFilter, permitted
from featurestore.consent import services
from featurestore.consent.models import Notice, Purpose


class NoticeForm(forms.ModelForm):
    """Form of a new notice; ``offered`` are the purposes that it may explain."""

    offered: ClassVar[QuerySet[Purpose]]

    class Meta:
        model = Notice
        fields = ["name", "version", "language", "purposes", "body"]
        widgets = {
            "name": UnfoldAdminTextInputWidget,
            "version": UnfoldAdminIntegerFieldWidget,
            "language": UnfoldAdminTextInputWidget,
            "purposes": UnfoldAdminCheckboxSelectMultipleWidget,
            "body": UnfoldAdminTextareaWidget(attrs={"rows": 14}),
        }
        help_texts = {"language": "A language tag, such as en or pt-BR.", "body": "The exact text that customers see."}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["purposes"].queryset = self.offered  # type: ignore[attr-defined]
        for name in ("name", "language"):
            self.fields[name].strip = False  # type: ignore[attr-defined]  # both identify a notice


@admin.register(Notice)
class NoticeAdmin(StaffAdmin):
    list_display = ["reference", "version", "language", "explains", "published_at", "fingerprint"]
    list_filter = [("purposes", PermittedRelatedFilter)]
    search_fields = ["reference"]
    search_help_text = "Reference"
    fieldsets = [
        (None, {"fields": ["reference", "explains", "published_at", "hash"]}),
        ("Text shown to customers", {"fields": ["text"]}),
    ]
    add_fieldsets = [
        (
            None,
            {
                "fields": ["name", "version", "language", "purposes", "body"],
                "description": "A published notice can't be changed: publish a new text as a new version. "
                "Earlier consents refer to the version that was shown.",
            },
        ),
    ]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        return super().get_queryset(request).prefetch_related("purposes")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if change:
            return super().get_form(request, obj, change, **kwargs)
        return type("NewNoticeForm", (NoticeForm,), {"offered": permitted(request, Purpose).filter(active=True)})

    @display(description="Purposes")
    def explains(self, notice: Notice) -> str:
        return ", ".join(purpose.name for purpose in notice.purposes.all())

    @display(description="SHA-256")
    def hash(self, notice: Notice) -> str:
        return format_html('<span class="rp-code">{}</span>', notice.sha256)

    @display(description="Text")
    def text(self, notice: Notice) -> str:
        return format_html('<div class="rp-prose">{}</div>', notice.body)

    @display(description="SHA-256")
    def fingerprint(self, notice: Notice) -> str:
        return f"{notice.sha256[:12]}…"

    def save_model(self, request: HttpRequest, obj: Notice, form: forms.ModelForm, change: bool) -> None:
        purposes = [purpose.name for purpose in form.cleaned_data["purposes"]]
        published = services.publish_notice(obj.name, obj.version, obj.language, obj.body, purposes)
        obj.pk, obj.reference = published.pk, published.reference

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: publish_notice wrote the purposes."""
