"""Time zones by their IANA names. Pure, but for the system's time zone files."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def time_zone(name: str) -> ZoneInfo:
    """The time zone of a name that was checked."""
    return ZoneInfo(name)


def time_zone_problem(name: str) -> str:
    """Why a name is no time zone; empty if it is one.

    >>> time_zone_problem("Europe/Berlin"), time_zone_problem("Berlin")
    ('', 'No time zone of this name: write it as Europe/Berlin.')
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "No time zone of this name: write it as Europe/Berlin."
    return ""
