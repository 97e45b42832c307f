"""Quantiles of what was measured."""

from collections.abc import Sequence
from typing import TypeVar

Number = TypeVar("Number", int, float)


def quantile(values: Sequence[Number], share: float) -> Number:
    """The value that ``share`` of them do not exceed: one that was measured, none in between."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]
