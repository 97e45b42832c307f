"""Forms of the pages that record a customer's decision."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from featurestore.consent.models import ConsentRecord, Notice, Purpose
from featurestore.consent.permission_derivation import Basis
from featurestore.consent.services.choice import MAX_REASON_LENGTH

Method = ConsentRecord.Method
METHODS = [
    (method.value, method.label) for method in (Method.EMAIL, Method.PHONE, Method.SHOP, Method.CHAT, Method.ADMIN)
]


class DecisionForm(forms.Form):
    """Form of a withdrawal or an objection: by which method the customer decided, and why.

    Web, app and API are no choices: they record decisions themselves.
    """

    method = forms.ChoiceField(
        label="How the customer informed us", choices=[("", "Choose…"), *METHODS], widget=UnfoldAdminSelectWidget
    )
    reason = forms.CharField(
        max_length=MAX_REASON_LENGTH,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Stored with the consent record. Leave out names and contact details.",
    )


class GiveForm(DecisionForm):
    """Form of a consent: it requires the notice, since a consent without the text agreed to proves nothing.

    ``notices``: those that the user may see.
    """

    notice = forms.ModelChoiceField(
        Notice.objects.none(),
        to_field_name="reference",
        label="Notice that the customer was shown",
        empty_label="Choose…",
        widget=UnfoldAdminSelectWidget,
    )
    field_order = ["notice", "method", "reason"]

    def __init__(self, *args: Any, purpose: Purpose, notices: QuerySet[Notice], **kwargs: Any):
        super().__init__(*args, **kwargs)
        notice = self.fields["notice"]
        notice.queryset = notices.filter(purposes=purpose)  # type: ignore[attr-defined]  # a ModelChoiceField
        notice.required = purpose.lawful_basis == Basis.CONSENT
        self.fields["reason"].required = False
