"""Form and contents of the page that shows what a chat engine would be told of a customer."""

from typing import Any, NamedTuple

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from featurestore.identity import MAX_IDENTIFIER_LENGTH
from featurestore.installed_catalog import catalog
from featurestore.serving.answer import Answer, ViewAnswer
from featurestore.staffreads.selectors import questions
from featurestore.staffreads.services import Question

LONGEST_REASON = 500


class ViewValues(NamedTuple):
    """A view of an answer, with its features and their values as text; None: no value."""

    name: str
    answer: ViewAnswer
    features: list[tuple[str, str | None]]


class ValuesForm(forms.Form):
    """Form for a customer id and a question. Who may not view values states a reason as well."""

    customer_id = forms.CharField(
        label="Customer id", max_length=MAX_IDENTIFIER_LENGTH, strip=False, widget=UnfoldAdminTextInputWidget
    )
    asked = forms.ChoiceField(
        label="Question", widget=UnfoldAdminSelectWidget, help_text="The service that asks, and its purpose."
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Why you must look. It begins an emergency access of 30 minutes to this customer. Name no customer.",
    )

    def __init__(self, *args: Any, may_view: bool, **kwargs: Any):
        super().__init__(*args, **kwargs)
        asked = self.fields["asked"]
        assert isinstance(asked, forms.ChoiceField)
        asked.choices = [("", "Choose")] + [
            (f"{service}/{purpose}", f"{service} for {purpose}")
            for service, purposes in questions().items()
            for purpose in purposes
        ]
        if may_view:
            del self.fields["reason"]

    @property
    def question(self) -> Question:
        service, _, purpose = self.cleaned_data["asked"].partition("/")
        return Question(self.cleaned_data["customer_id"], service, purpose)


def views_of(answer: Answer) -> list[ViewValues]:
    """The views of an answer, in the order of its service."""
    service = catalog().registry.services[answer.service]
    return [
        ViewValues(
            view.name,
            answer.views[view.name],
            [(one.name, _text(answer.features.get(one.name))) for one in view.features],
        )
        for view in service.views
    ]


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(one) for one in value) or "none"
    return None if value is None else str(value)
