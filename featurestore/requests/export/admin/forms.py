"""Forms of the pages of exports."""

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget


class StartForm(forms.Form):
    reference = forms.CharField(
        max_length=14,
        widget=UnfoldAdminTextInputWidget,
        help_text="Of a verified request for access or portability, as R-7K2M-9QXD.",
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=1000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Recorded with your name. Write nothing of what is withheld, and no customer's name.",
    )


class NoteForm(forms.Form):
    reason = forms.CharField(
        label="Note", max_length=1000, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )
