"""From decisions to permissions. Pure: every service, repair and test derives a permission here and nowhere else.

The state of one customer and purpose is what the database keeps in a CurrentPermission row. Times are milliseconds
since the epoch; ``grant`` is the change sequence sequence of the change that allowed, so that it rises with every new grant,
also after an erasure or a restored database.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from featurestore.consent.errors import WrongBasis, WrongDate
from featurestore.permission import PurposePermission, Permission

START_DELAY_MS = 1000
"""A grant begins this long after its recording: later than any event stamped before it by a clock that is ahead."""
FIRST, LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Dates lie between: 0 ms says that there is none, and no calculation may leave the calendar."""


class Basis(StrEnum):
    """Lawful bases (GDPR Art 6(1)) that purposes may rest on."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"
    LEGITIMATE_INTEREST = "legitimate_interest"


class Decision(StrEnum):
    GIVEN = "given"
    WITHDRAWN = "withdrawn"  # for a legitimate interest: objected
    EXPIRED = "expired"


class PurposeState(NamedTuple):
    """What one purpose may do with one customer."""

    allowed: bool
    grant_id: int = 0
    since_ms: int = 0
    until_ms: int = 0  # 0: no end
    ended_ms: int = 0  # when the last grant ended, or was refused; a later grant begins after it

    def in_force_at(self, now_ms: int) -> bool:
        return self.allowed and not (self.until_ms and now_ms >= self.until_ms)


def after_registration(basis: Basis, sequence: int, now_ms: int, since_ms: int | None = None) -> PurposeState | None:
    """The state of a new customer: allowed for every basis but consent, which has no record yet."""
    if basis is Basis.CONSENT:
        return None
    return PurposeState(allowed=True, grant_id=sequence, since_ms=_start(0, now_ms, since_ms))


def after_consent(
    basis: Basis, state: PurposeState | None, sequence: int, now_ms: int, since_ms: int | None = None, until_ms: int = 0
) -> PurposeState:
    """Consent, or an objection taken back. A repeat moves nothing but the end.

    Raises WrongBasis where no consent is asked, WrongDate where the dates contradict each other or the past.
    """
    if basis in (Basis.CONTRACT, Basis.LEGAL_OBLIGATION):
        raise WrongBasis(f"This purpose rests on {_words(basis)} and needs no consent. Don't ask for it.")
    if until_ms and basis is not Basis.CONSENT:
        raise WrongBasis(f"This purpose rests on {_words(basis)}; only a consent can have an end. Leave out `until`.")
    if state and state.allowed and not state.in_force_at(now_ms):
        state = after_end(state, state.until_ms)
    if state and state.allowed:
        _not_in_future(since_ms, now_ms)
        after = state._replace(until_ms=until_ms)
    else:
        ended_ms = state.ended_ms if state else 0
        after = PurposeState(True, sequence, _start(ended_ms, now_ms, since_ms), until_ms, ended_ms)
    if until_ms and until_ms <= max(now_ms, after.since_ms):
        raise WrongDate("The consent would end before it begins: `until` must be later than now and than `since`.")
    return after


def after_withdrawal(basis: Basis, state: PurposeState | None, now_ms: int, since_ms: int | None = None) -> PurposeState:
    """Consent withdrawn or refused, a legitimate interest objected to. A repeat changes nothing but the last end.

    Raises WrongBasis for a contract or a legal obligation, WrongDate for the future or before the grant in force.
    """
    if basis is Basis.CONTRACT:
        raise WrongBasis("This purpose rests on a contract and ends with it: end the contract, or ask for an erasure.")
    if basis is Basis.LEGAL_OBLIGATION:
        raise WrongBasis("This purpose rests on a legal obligation: it can't be withdrawn. Ask for access or erasure.")
    _not_in_future(since_ms, now_ms)
    if since_ms is not None and state and state.allowed and since_ms < state.since_ms:
        raise WrongDate("A later consent is in force. Import in order of time, or leave out `since` to withdraw now.")
    return after_end(state or PurposeState(allowed=False), now_ms if since_ms is None else since_ms)


def after_end(state: PurposeState, ended_ms: int) -> PurposeState:
    """A grant at its end: withdrawn, expired, or its purpose retired."""
    return state._replace(allowed=False, until_ms=0, ended_ms=max(state.ended_ms, ended_ms))


def requires_purge(before: PurposeState | None, after: PurposeState) -> bool:
    """Whether values may exist that are no longer allowed: the streams must be told."""
    if before is None or not before.grant_id:
        return False
    return after.grant_id != before.grant_id or (before.allowed and not after.allowed)


def derive_permission(epoch: int, sequence: int, states: Mapping[str, PurposeState], retired: Collection[str] = ()) -> Permission:
    """A subject's permission from the states of its purposes by name. A retired one allows nothing, ended or not."""
    return Permission(
        epoch,
        sequence,
        {
            name: PurposePermission(s.allowed and name not in retired, s.grant_id, s.since_ms, s.until_ms)
            for name, s in sorted(states.items())
        },
    )


def check_date(name: str, date: datetime | None) -> None:
    """Raises WrongDate where a date given by somebody else is none to calculate with."""
    if date and date.tzinfo is None:
        raise WrongDate(f"`{name}` has no time zone.")
    if date and not FIRST <= date < LAST:
        raise WrongDate(f"`{name}` must lie between the years {FIRST.year} and {LAST.year}.")


def _start(ended_ms: int, now_ms: int, since_ms: int | None) -> int:
    """When a new grant begins: as imported, or a second from now; always after the last one's end."""
    if since_ms is None:
        return max(now_ms + START_DELAY_MS, ended_ms + 1)
    _not_in_future(since_ms, now_ms)
    if since_ms <= ended_ms:
        raise WrongDate("A consent can't reach back past a later withdrawal: import in order of time.")
    return since_ms


def _not_in_future(since_ms: int | None, now_ms: int) -> None:
    if since_ms is not None and since_ms > now_ms:
        raise WrongDate("`since` is in the future. Record a decision when it is made.")


def _words(basis: Basis) -> str:
    return basis.value.replace("_", " ")
