"""Form and contents of the page that shows what a customer allowed at a past time."""

from datetime import datetime
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from featurestore.accesslog.selectors import reads_of
from featurestore.consent.as_of import permissions_as_of
from featurestore.customers.selectors import stored_subject
from featurestore.identity import MAX_IDENTIFIER_LENGTH
from featurestore.profiles.as_of_document import READS_BEFORE

MAX_READS = 50


class AsOfForm(forms.Form):
    """Form for a customer id and a time, in the time zone of the installation."""

    customer_id = forms.CharField(
        label="Customer id", max_length=MAX_IDENTIFIER_LENGTH, strip=False, widget=UnfoldAdminTextInputWidget
    )
    client = forms.CharField(
        required=False,
        max_length=64,
        widget=UnfoldAdminTextInputWidget,
        help_text="Name of an API client, to see its reads alone. Empty: the reads of all.",
    )
    at = forms.DateTimeField(
        label="Time",
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local", "step": "1"}),
        help_text="What was recorded by then. A decision that was recorded later did not count yet.",
    )


def past_of(customer_id: str, at: datetime, client: str) -> dict[str, Any]:
    """What a customer allowed at a time, also one who was erased since, and the reads of the day before it.

    Raises ConsentError.
    """
    found = permissions_as_of(customer_id, at, erased=True)
    since, purposes = at - READS_BEFORE, [one.purpose.name for one in found]
    return {
        "asked": at,
        "purposes": found,
        "reads_since": since,
        "reads": reads_of(stored_subject(customer_id), since, at, purposes, MAX_READS, client),
    }
