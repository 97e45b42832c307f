"""Durations as a definition writes them: "30m". Pure."""

import re

DURATION = re.compile(r"([1-9][0-9]{0,9})([smhd])")
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds(text: str) -> int:
    """Seconds of a whole number of seconds, minutes, hours or days. Raises ValueError with what to write instead.

    >>> seconds("30m"), seconds("7d")
    (1800, 604800)
    >>> seconds("1.5h")
    Traceback (most recent call last):
    ValueError: '1.5h' is no duration: write a whole number and s, m, h or d, such as "90s", "30m", "12h" or "7d"
    """
    parsed = DURATION.fullmatch(text) if isinstance(text, str) else None
    if parsed is None:
        raise ValueError(
            f'{text!r} is no duration: write a whole number and s, m, h or d, such as "90s", "30m", "12h" or "7d"'
        )
    return int(parsed[1]) * UNITS_S[parsed[2]]
