"""When a request is due, in words and a colour."""

from datetime import datetime, timedelta

from featurestore.requests.due_dates import last_day
from featurestore.requests.models import SubjectRequest
from featurestore.requests.selectors import soon
from featurestore.requests.services import remaining
from featurestore.requests.states import ENDED, State

DUE_COLOURS = {"overdue": "danger", "soon": "warning", "later": "info", "paused": "info", "over": "success"}
DAY = timedelta(days=1)


def due_text(request: SubjectRequest, now: datetime) -> tuple[str, str]:
    """The kind, a key of DUE_COLOURS, and the text."""
    if request.state in ENDED or request.state == State.ANSWERED:
        return "over", "–"
    left, day = remaining(request, now), f"{last_day(request):%-d %b %Y}"
    if request.paused_at is not None:
        return "paused", f"paused, {_days(left)} left"
    if left <= timedelta():
        return "overdue", f"{day}, overdue"
    kind = "soon" if request.due_at <= soon(now) else "later"
    return kind, f"{day}, {_days(left)} left"


def _days(left: timedelta) -> str:
    """
    >>> _days(timedelta(days=12, hours=5)), _days(timedelta(days=1)), _days(timedelta(hours=7, minutes=30))
    ('12 days', '1 day', '7 h')
    """
    if left >= DAY:
        return f"{left // DAY} day{'s' * (left // DAY != 1)}"
    return f"{left // timedelta(hours=1)} h"
