"""Order of the decisions about one customer and purpose: by the time at which each was made, however they arrive.

Pure. A decision that ranks below the newest recorded one is recorded and changes nothing. So a queue that delivers
late, twice or in another order ends in the newest decision, and an old yes never overtakes a no.

>>> yes, no = rank_of(Decision.GIVEN, 60_000), rank_of(Decision.WITHDRAWN, 60_000)
>>> no > yes  # at equal times the refusal wins
True
>>> rank_of(Decision.GIVEN, 60_000, until_ms=90_000) > yes  # and of two consents the one that ends first
True
"""

from typing import NamedTuple

from featurestore.clock import milliseconds
from featurestore.consent.errors import WrongDate
from featurestore.consent.permission_derivation import LAST_DATE, Decision

MAX_AHEAD_MS = 5_000
"""How far the clock by which a decision was timed may be ahead of the database's."""
ORDERED = frozenset({Decision.GIVEN, Decision.WITHDRAWN})
"""What a customer decides. An expiry is no decision: a consent that is recorded after it may have been given before."""
NEVER_MS = milliseconds(LAST_DATE)


class Rank(NamedTuple):
    """Place of a decision among those about its customer and purpose. The highest holds."""

    decided_ms: int
    refusal: bool
    earliness: int  # of its end: minus the end, least for a consent without one


def rank_of(decision: Decision, decided_ms: int, until_ms: int = 0) -> Rank:
    """The rank of a decision that was made at a time. ``until_ms``: the end of a consent, 0 for none."""
    return Rank(decided_ms, decision is Decision.WITHDRAWN, -(until_ms or NEVER_MS))


def rank_now(decision: Decision, now_ms: int, until_ms: int, newest: Rank | None) -> Rank:
    """The rank of a decision without a time of its own: it is made as it is recorded, after every recorded one."""
    rank = rank_of(decision, now_ms, until_ms)
    if newest is None or rank >= newest:
        return rank
    return rank_of(decision, newest.decided_ms + 1, until_ms)


def check_decided_at(decision: Decision, decided_ms: int, now_ms: int, max_age_ms: int) -> None:
    """Raise WrongDate for a decision of the future, and for a consent that is too old to rely on.

    A withdrawal counts however late it arrives.
    """
    if decided_ms > now_ms + MAX_AHEAD_MS:
        raise WrongDate("`decided_at` is in the future. Correct the clock, or leave it out for a decision made now.")
    if decision is Decision.GIVEN and decided_ms < now_ms - max_age_ms:
        raise WrongDate("`decided_at` is too long ago to rely on this consent: ask the customer again.")
