"""Forms of the pages that act on a request."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import QueryDict
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from featurestore.requests.models import Contact, Language, Regime, RequestType, SubjectRequest
from featurestore.requests.services.answers import MAX_ANSWER_LENGTH
from featurestore.requests.services.intake import MAX_DETAILS_LENGTH
from featurestore.requests.services.timeline import MAX_REASON_LENGTH

CHOOSE = [("", "Choose…")]
STORED = "Stored in the timeline. Leave out names and contact details."
TOLD = "The customer is told it, in these words."


def text_field(label: str, help_text: str = "", *, longest: int = MAX_REASON_LENGTH, rows: int = 3, **more: Any) -> Any:
    widget = UnfoldAdminTextareaWidget(attrs={"rows": rows})
    return forms.CharField(label=label, max_length=longest, widget=widget, help_text=help_text, **more)


def line_field(label: str, **more: Any) -> Any:
    return forms.CharField(label=label, widget=UnfoldAdminTextInputWidget, **more)


def choice_field(label: str, choices: Any, **more: Any) -> Any:
    return forms.ChoiceField(label=label, choices=[*CHOOSE, *choices], widget=UnfoldAdminSelectWidget, **more)


class ConfirmedForm(forms.Form):
    """Form that is shown twice: to enter, and, with its effect, to confirm."""

    confirmed = forms.CharField(required=False, widget=forms.HiddenInput)


class ReasonForm(forms.Form):
    reason = text_field("Reason", STORED)


class OptionalReasonForm(forms.Form):
    reason = text_field("Note", STORED, required=False)


class VerifyForm(forms.Form):
    """``known``: whether the request names its customer; else the customer id is entered."""

    customer_id = line_field("Customer id", max_length=256, help_text="The request came without one.")
    reason = text_field("How the customer was verified", STORED)

    def __init__(self, *args: Any, known: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if known:
            del self.fields["customer_id"]


class AssignForm(forms.Form):
    """``people``: who may be assigned."""

    assignee = forms.ModelChoiceField(
        User.objects.none(), label="To", required=False, empty_label="Nobody", widget=UnfoldAdminSelectWidget
    )
    reason = text_field("Note", STORED, required=False)

    def __init__(self, *args: Any, people: QuerySet[User], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["assignee"].queryset = people  # type: ignore[attr-defined]  # a ModelChoiceField


class ContactForm(forms.Form):
    kind = choice_field("Kind", Contact.Kind.choices)
    address = line_field("Address", max_length=320, help_text="Of the customer, as the shop has it on record.")


class ExtendForm(ConfirmedForm):
    reason = text_field("Why it needs more time", TOLD)


class RefuseForm(ConfirmedForm):
    ground = choice_field("Legal ground", SubjectRequest.Ground.choices)
    reason = text_field("Why it applies", TOLD)


class AnswerForm(ConfirmedForm):
    text = text_field("Answer to the customer", TOLD, longest=MAX_ANSWER_LENGTH, rows=8)
    done = text_field("What was done", STORED)


class IntakeForm(forms.Form):
    """Form of a request that reached staff by telephone, post or in the shop."""

    type = choice_field("What the customer asks for", RequestType.choices)
    regime = choice_field("Regime", [])
    customer_id = line_field("Customer id", required=False, max_length=256, help_text="If it is known.")
    language = forms.ChoiceField(label="Language", choices=Language.choices, widget=UnfoldAdminSelectWidget)
    details = text_field("The customer's words", "Stored encrypted.", longest=MAX_DETAILS_LENGTH, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["regime"].choices = [*CHOOSE, *regime_choices()]  # type: ignore[attr-defined]  # a ChoiceField


class LinkForm(forms.Form):
    """Form of a link to the customers' form."""

    regime = choice_field("Regime", [])
    language = forms.ChoiceField(label="Language", choices=Language.choices, widget=UnfoldAdminSelectWidget)
    hours = forms.IntegerField(
        label="Hours until it expires", min_value=1, max_value=720, initial=24, widget=UnfoldAdminTextInputWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["regime"].choices = [*CHOOSE, *regime_choices()]  # type: ignore[attr-defined]  # a ChoiceField


def regime_choices() -> list[tuple[str, str]]:
    return list(Regime.objects.values_list("name", "title"))


class SelectionForm(forms.Form):
    """Form of the requests selected in the queue, by primary key: later ones are not included."""

    _selected_action = forms.CharField(widget=forms.MultipleHiddenInput)
    action = forms.CharField(widget=forms.HiddenInput)
    confirmed = forms.CharField(widget=forms.HiddenInput)


class AssignSelection(SelectionForm, AssignForm):
    """Selection with an assignee."""


class ExtendSelection(SelectionForm):
    reason = text_field("Why they need more time", TOLD)


class AnswerSelection(SelectionForm):
    text = text_field("Answer to each customer", TOLD, longest=MAX_ANSWER_LENGTH, rows=6)
    done = text_field("What was done", STORED)


class CloseSelection(SelectionForm):
    reason = text_field("Note", STORED, required=False)


def confirmation_of(form: type[forms.Form], posted: QueryDict) -> forms.Form:
    """A form with what was entered in hidden fields, to be confirmed."""
    entered = posted.copy()
    entered["confirmed"] = "yes"
    made = form(entered)
    for field in made.fields.values():
        field.widget = field.hidden_widget()
    return made
