"""Times in texts of the administration."""

from datetime import datetime

from django.utils import timezone


def time_text(at: datetime) -> str:
    """A time to the minute, in the time zone of what is shown, which is named."""
    return f"{timezone.localtime(at):%-d %b %Y, %H:%M %Z}"
