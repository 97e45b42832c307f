"""What an officer fills in when a customer decides."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from featurestore.consent.models import ConsentRecord, Notice, Purpose
from featurestore.consent.purpose_states import Basis
from featurestore.consent.services.decisions import MAX_REASON_LENGTH

Method = ConsentRecord.Method
TOLD = [(method.value, method.label) for method in (Method.EMAIL, Method.PHONE, Method.SHOP, Method.CHAT, Method.ADMIN)]


class DecisionForm(forms.Form):
    """How we know of the decision, and why. Web, app and API record theirs themselves."""

    method = forms.ChoiceField(
        label="How the customer told us", choices=[("", "Choose…"), *TOLD], widget=UnfoldAdminSelectWidget
    )
    reason = forms.CharField(
        max_length=MAX_REASON_LENGTH,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Kept with the record for as long as the record is. Leave names and contact details out.",
    )


class GiveForm(DecisionForm):
    """A consent is worth nothing without the words that the customer agreed to."""

    notice = forms.ModelChoiceField(
        Notice.objects.none(),
        to_field_name="reference",
        label="Notice that the customer was shown",
        empty_label="Choose…",
        widget=UnfoldAdminSelectWidget,
    )
    field_order = ["notice", "method", "reason"]

    def __init__(self, *args: Any, purpose: Purpose, **kwargs: Any):
        super().__init__(*args, **kwargs)
        notice = self.fields["notice"]
        notice.queryset = purpose.notices.all()  # type: ignore[attr-defined]  # a ModelChoiceField
        notice.required = purpose.lawful_basis == Basis.CONSENT
        self.fields["reason"].required = False
