"""Time zones by their IANA names."""

from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError

from featurestore import config


def time_zone(name: str) -> ZoneInfo:
    """The time zone of a name that was checked."""
    return ZoneInfo(name)


def known_time_zone(name: str) -> None:
    """Validator of a time zone's name. Raises ValidationError."""
    try:
        config.known_time_zone(name)
    except ValueError as error:
        raise ValidationError(str(error)) from None
