"""Text of the settings by which an operator starts a new generation of topics and tables."""

from datetime import UTC, datetime


def settings_of_next(generation: int, now: datetime | None = None) -> str:
    """The variables of a generation that replaces this one, whose events are not sent again.

    >>> settings_of_next(1, datetime(2026, 3, 1, 12, tzinfo=UTC))
    'RAPPORT_GENERATION=2 RAPPORT_GENERATION_START=2026-03-01T12:00:00+00:00'
    """
    start = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    return f"RAPPORT_GENERATION={generation + 1} RAPPORT_GENERATION_START={start}"
