"""Passed-by subjects, as the node verifier asks for them; whoever starts it injects them."""

from collections.abc import Callable
from typing import Protocol


class PassedByUnavailable(Exception):
    """It can't be known now which subjects the streams passed by. The message says why."""


class PassedBySubjects(Protocol):
    """Subjects that the streams passed by for want of a permission. Several threads ask."""

    def restart_grants(self, owns: Callable[[str], bool], goes_on: Callable[[], bool]) -> bool:
        """Give the grants of a node's passed-by subjects a later start; whether any got a new version, to be published.

        All are considered that were passed by before the call. ``goes_on`` is asked twice a second; where it says no,
        the call ends early. Raises PassedByUnavailable, then too; DatabaseError.
        """
