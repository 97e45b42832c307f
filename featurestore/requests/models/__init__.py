"""Tables of subject requests: ``regimes.py``, ``subject_requests.py``, ``contacts.py``, ``outgoing.py``."""

from featurestore.requests.models.contacts import Contact, RequestClock, VerificationCode
from featurestore.requests.models.outgoing import CustomerMessage, Reminder
from featurestore.requests.models.regimes import Holiday, Regime, RegimeRule, RequestType
from featurestore.requests.models.subject_requests import ClockPause, Language, RequestEvent, SubjectRequest

__all__ = [
    "ClockPause",
    "Contact",
    "CustomerMessage",
    "Holiday",
    "Language",
    "Regime",
    "RegimeRule",
    "Reminder",
    "RequestClock",
    "RequestEvent",
    "RequestType",
    "SubjectRequest",
    "VerificationCode",
]
