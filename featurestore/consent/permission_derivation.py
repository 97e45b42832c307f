"""Derivation of permissions: the consent state of a customer and purpose after each decision; a permission from states.

Pure, and the only place where a permission is derived. A row of CurrentPermission stores one state. Times are
milliseconds since 1970. The grant id is the sequence of the change that granted: each new grant has a higher one,
also after an erasure or the restore of a database.

>>> given = after_consent(Basis.CONSENT, None, 7, now_ms=60_000)
>>> given
ConsentState(allowed=True, grant_id=7, since_ms=61000, until_ms=0, ended_ms=0)
>>> after_withdrawal(Basis.CONSENT, given, now_ms=90_000)
ConsentState(allowed=False, grant_id=7, since_ms=61000, until_ms=0, ended_ms=90000)
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from featurestore.clock import milliseconds
from featurestore.consent.errors import WrongBasis, WrongDate
from featurestore.permission import Permission, PurposePermission

START_DELAY_MS = 1000
"""A grant begins so long after its recording: later than any event that a fast clock stamped before the recording."""
FIRST_DATE, LAST_DATE = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Bounds of dates from callers: 0 ms means no date, and sums must stay within the calendar."""


class Basis(StrEnum):
    """Lawful bases of purposes, of those in GDPR Art 6(1)."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"
    LEGITIMATE_INTEREST = "legitimate_interest"


class Decision(StrEnum):
    """Decisions of consent records."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"  # for a legitimate interest: objected
    EXPIRED = "expired"


class ConsentState(NamedTuple):
    """State of one customer and purpose: allowed or not, since when and until when. The purpose may need no consent."""

    allowed: bool
    grant_id: int = 0
    since_ms: int = 0
    until_ms: int = 0  # 0: no end
    ended_ms: int = 0  # end of the last grant, or time of the refusal; a later grant begins after it

    def in_force_at(self, now_ms: int) -> bool:
        return self.allowed and not (self.until_ms and now_ms >= self.until_ms)


def consent_state(allowed: bool, grant_id: int, *times: datetime | None) -> ConsentState:
    """The state in a row of CurrentPermission. ``times``: its since, until and ended_at."""
    return ConsentState(allowed, grant_id, *(milliseconds(at) if at else 0 for at in times))


def after_registration(basis: Basis, grant_id: int, now_ms: int, since_ms: int | None = None) -> ConsentState | None:
    """The state of a new customer: allowed for every basis but consent, which has no state yet."""
    if basis is Basis.CONSENT:
        return None
    return ConsentState(allowed=True, grant_id=grant_id, since_ms=_grant_start_ms(0, now_ms, since_ms))


def after_consent(
    basis: Basis, state: ConsentState | None, grant_id: int, now_ms: int, since_ms: int | None = None, until_ms: int = 0
) -> ConsentState:
    """The state after a consent, or after an objection is taken back. ``grant_id``: of a new grant.

    While a grant is in force, a repeat changes its end alone. Raises WrongBasis where no consent is needed, WrongDate
    where the dates contradict each other or an earlier decision.
    """
    if basis in (Basis.CONTRACT, Basis.LEGAL_OBLIGATION):
        raise WrongBasis(f"This purpose rests on a {_readable(basis)} and needs no consent. Don't ask for it.")
    if until_ms and basis is not Basis.CONSENT:
        raise WrongBasis(
            f"This purpose rests on a {_readable(basis)}; only a consent can have an end. Leave out `until`."
        )
    if state and state.allowed and not state.in_force_at(now_ms):
        state = after_end(state, state.until_ms)
    if state and state.allowed:
        _not_in_future(since_ms, now_ms)
        after = state._replace(until_ms=until_ms)
    else:
        ended_ms = state.ended_ms if state else 0
        after = ConsentState(True, grant_id, _grant_start_ms(ended_ms, now_ms, since_ms), until_ms, ended_ms)
    if until_ms and until_ms <= max(now_ms, after.since_ms):
        raise WrongDate("The consent would end before it begins: `until` must be later than now and than `since`.")
    return after


def after_withdrawal(
    basis: Basis, state: ConsentState | None, now_ms: int, since_ms: int | None = None
) -> ConsentState:
    """The state after a withdrawal, a refusal or an objection. A repeat changes the last end alone.

    Raises WrongBasis for a contract or a legal obligation, WrongDate for a date in the future or before the grant in
    force.
    """
    if basis is Basis.CONTRACT:
        raise WrongBasis("This purpose rests on a contract and ends with it: end the contract, or ask for an erasure.")
    if basis is Basis.LEGAL_OBLIGATION:
        raise WrongBasis("This purpose rests on a legal obligation: it can't be withdrawn. Ask for access or erasure.")
    _not_in_future(since_ms, now_ms)
    if since_ms is not None and state and state.allowed and since_ms < state.since_ms:
        raise WrongDate("A later consent is in force. Import in order of time, or leave out `since` to withdraw now.")
    return after_end(state or ConsentState(allowed=False), now_ms if since_ms is None else since_ms)


def after_end(state: ConsentState, ended_ms: int) -> ConsentState:
    """The state after a grant's end by withdrawal, by expiry or because its purpose was retired."""
    return state._replace(allowed=False, until_ms=0, ended_ms=max(state.ended_ms, ended_ms))


def requires_purge(before: ConsentState | None, after: ConsentState) -> bool:
    """Whether values may exist that are no longer allowed, so that the streams must purge them."""
    if before is None or not before.grant_id:
        return False
    return after.grant_id != before.grant_id or (before.allowed and not after.allowed)


def derive_permission(
    epoch: int, sequence: int, states: Mapping[str, ConsentState], retired: Collection[str] = ()
) -> Permission:
    """A subject's permission from the states of its purposes, by name. A retired purpose is denied in any state."""
    return Permission(
        epoch,
        sequence,
        {
            name: PurposePermission(s.allowed and name not in retired, s.grant_id, s.since_ms, s.until_ms)
            for name, s in sorted(states.items())
        },
    )


def check_date(name: str, date: datetime | None) -> None:
    """Raise WrongDate if a caller's date has no time zone or is outside FIRST_DATE to LAST_DATE."""
    if date and date.tzinfo is None:
        raise WrongDate(f"`{name}` has no time zone.")
    if date and not FIRST_DATE <= date < LAST_DATE:
        raise WrongDate(f"`{name}` must be between the years {FIRST_DATE.year} and {LAST_DATE.year}.")


def _grant_start_ms(ended_ms: int, now_ms: int, since_ms: int | None) -> int:
    """Start of a new grant: the imported date, or a second from now; always after the end of the last grant."""
    if since_ms is None:
        return max(now_ms + START_DELAY_MS, ended_ms + 1)
    _not_in_future(since_ms, now_ms)
    if since_ms <= ended_ms:
        raise WrongDate("A consent can't reach back past a later withdrawal: import in order of time.")
    return since_ms


def _not_in_future(since_ms: int | None, now_ms: int) -> None:
    if since_ms is not None and since_ms > now_ms:
        raise WrongDate("`since` is in the future. Record a decision when it is made.")


def _readable(basis: Basis) -> str:
    return basis.value.replace("_", " ")
