"""Time zones by their IANA names."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError


def time_zone(name: str) -> ZoneInfo:
    """The time zone of a name that was checked."""
    return ZoneInfo(name)


def known_time_zone(name: str) -> None:
    """Validator of a time zone's name. Raises ValidationError."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError("No time zone of this name: write it as Europe/Berlin.") from None
