"""Comparison of the journal with the database, as the node verifier asks for it; whoever starts it injects one."""

from typing import Protocol

from featurestore.store.protocol import Run


class JournalUnavailable(Exception):
    """The journal can't be read, and this store run and database were not compared with it before."""


class JournalComparison(Protocol):
    """Comparison of the journal's head with the database. Several threads ask, twice a second each."""

    def is_ahead(self, run: Run) -> bool:
        """Whether the journal holds a change that the database never numbered.

        It reads the journal first and the database's change sequence after it: what the journal holds was committed
        before, so that a commit between both is no finding. Raises JournalUnavailable.
        """
