"""Forms of second factors, in our words."""

from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms


class AddPasskeyForm(AddWebAuthnForm):
    """Form of a new passkey: its name, and whether it logs in alone."""

    passwordless = forms.BooleanField(
        label="Log in with it alone",
        required=False,
        initial=True,
        help_text="Without user name and password: the device asks for fingerprint, face or PIN. Off: it is asked for "
        "after the password.",
    )
