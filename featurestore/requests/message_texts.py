"""Texts of messages to customers: a template file for each kind and language; its first line is the subject line."""

from typing import Any, NamedTuple

from django.template.loader import render_to_string
from django.utils import translation

from featurestore.config import settings
from featurestore.requests.due_dates import last_day
from featurestore.requests.models import SubjectRequest

FOLDER = "requests/messages"
PLACEHOLDER = "········"
"""Stands for the secret in a stored text: a code, which is made when it is sent, or what opens an export."""


class Text(NamedTuple):
    """Subject line and text of a message."""

    subject: str
    body: str

    def __str__(self) -> str:
        return f"{self.subject}\n\n{self.body}"

    def filled(self, secret: str) -> "Text":
        """The text with the secret in its place."""
        return Text(self.subject, self.body.replace(PLACEHOLDER, secret))

    @classmethod
    def parse(cls, text: str) -> "Text":
        """The reverse of ``str``."""
        subject, _, body = text.partition("\n\n")
        return cls(subject, body)


def text_of(request: SubjectRequest, kind: str, **facts: Any) -> Text:
    """The text of a message about a request in its language. ``facts``: reason, ground, answer, code_url, until."""
    cal = request.regime.calendar()
    context = {
        "reference": request.reference,
        "type": request.type,
        "received_day": cal.day_of(request.received_at),
        "last_day": last_day(request),
        "duplicate_of": request.duplicate_of.reference if request.duplicate_of else "",
        "ground": request.ground,
        "organisation": settings().organisation,
        "code": PLACEHOLDER,
        "secret": PLACEHOLDER,
    }
    with translation.override(request.language):
        return Text.parse(render_to_string(f"{FOLDER}/{kind}.{request.language}.txt", context | facts))
