"""Derivation of permissions: the consent state of a customer and purpose after each decision; a permission from states.

Pure, and the only place where a permission is derived. A row of CurrentPermission stores one state. Times are
milliseconds since 1970. The grant id is the sequence of the change that granted: each new grant has a higher one,
also after an erasure or the restore of a database.

>>> given = after_consent(Basis.CONSENT, None, 7, now_ms=60_000)
>>> given.allowed, given.grant_id, given.since_ms, given.ended_ms
(True, 7, 61000, 0)
>>> withdrawn = after_withdrawal(Basis.CONSENT, given, now_ms=90_000)
>>> withdrawn.allowed, withdrawn.grant_id, withdrawn.since_ms, withdrawn.ended_ms
(False, 7, 61000, 90000)

A pause (restriction of processing, GDPR Art 18) depends on no lawful basis and no decision: it lasts until it is
lifted. Meanwhile a grant and what was counted under it are kept, even if its time is over: then it ends at the lifting.
A withdrawal ends the grant at once.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from featurestore.clock import milliseconds
from featurestore.consent.errors import NotPaused, WrongBasis, WrongDate
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
    PAUSED = "paused"  # processing was restricted
    LIFTED = "lifted"  # a pause ended


class Import(NamedTuple):
    """Date of a decision that was made elsewhere, earlier.

    ``history_follows``: the importer states that the customer's events are sent only after the import is in effect.
    Else events since that date may have been denied already, and counting is complete from the import on.
    """

    since_ms: int
    history_follows: bool = False


class ConsentState(NamedTuple):
    """State of one customer and purpose: allowed or not, since when and until when. The purpose may need no consent."""

    allowed: bool  # decided so; while paused, the permission allows nothing all the same
    grant_id: int = 0
    since_ms: int = 0
    until_ms: int = 0  # 0: no end
    ended_ms: int = 0  # end of the last grant, or time of the refusal; a later grant begins after it
    complete_from_ms: int = 0  # 0: since; else later than it
    paused: bool = False
    late_pause: bool = False  # events may have been counted after the pause was recorded, before the store had it

    def in_force_at(self, now_ms: int) -> bool:
        return self.allowed and not (self.until_ms and now_ms >= self.until_ms)


def consent_state(allowed: bool, paused: bool, grant_id: int, *times: datetime | None) -> ConsentState:
    """The state in a row of CurrentPermission. ``times``: its since, until, ended_at and complete_from."""
    since_ms, until_ms, ended_ms, complete_from_ms = (milliseconds(at) if at else 0 for at in times)
    return ConsentState(allowed, grant_id, since_ms, until_ms, ended_ms, complete_from_ms, paused)


def after_registration(
    basis: Basis,
    grant_id: int,
    now_ms: int,
    imported: Import | None = None,
    *,
    paused: bool = False,
    erased_ms: int = 0,
) -> ConsentState | None:
    """The state of a new customer, or of a new purpose: allowed for every basis but consent, which has no state yet.

    Of a customer who came back after an erasure at ``erased_ms``, no grant reaches back to it: such a purpose has a
    state, and is denied. Raises WrongDate for an import from before.
    """
    before = ConsentState(allowed=False, paused=paused, ended_ms=erased_ms)
    if basis is Basis.CONSENT:
        return before if erased_ms else None
    return _begin(before, grant_id, now_ms, imported)


def after_consent(
    basis: Basis,
    state: ConsentState | None,
    grant_id: int,
    now_ms: int,
    imported: Import | None = None,
    until_ms: int = 0,
) -> ConsentState:
    """The state after a consent, or after an objection is taken back. ``grant_id``: of a new grant.

    While a grant is in force, a repeat changes its end alone. A pause stays. Raises WrongBasis where no consent is
    needed, WrongDate where the dates contradict each other or an earlier decision.
    """
    check_consent(basis, until_ms)
    if state and state.allowed and not state.in_force_at(now_ms):
        state = after_end(state, state.until_ms)
    if state and state.allowed:
        _not_in_future(imported.since_ms if imported else None, now_ms)
        after = state._replace(until_ms=until_ms)
    else:
        begun = _begin(state or ConsentState(allowed=False), grant_id, now_ms, imported)
        after = begun._replace(until_ms=until_ms)
    if until_ms and until_ms <= max(now_ms, after.since_ms):
        raise WrongDate("The consent would end before it begins: `until` must be later than now and than `since`.")
    return after


def check_consent(basis: Basis, until_ms: int) -> None:
    """Raise WrongBasis if a lawful basis needs no consent, or if it has none that could end."""
    if basis in (Basis.CONTRACT, Basis.LEGAL_OBLIGATION):
        raise WrongBasis(f"This purpose rests on a {_readable(basis)} and needs no consent. Don't ask for it.")
    if until_ms and basis is not Basis.CONSENT:
        raise WrongBasis(
            f"This purpose rests on a {_readable(basis)}; only a consent can have an end. Leave out `until`."
        )


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
    """The state after a grant's end by withdrawal, by expiry or because its purpose was retired. A pause stays."""
    return state._replace(allowed=False, until_ms=0, ended_ms=max(state.ended_ms, ended_ms), late_pause=False)


def after_pause(state: ConsentState | None) -> ConsentState:
    """The state after a pause, on any lawful basis. Without a state it is paused too, and so is a later consent."""
    before = state or ConsentState(allowed=False)
    return before if before.paused else before._replace(paused=True, late_pause=False)


def after_lift(state: ConsentState | None, grant_id: int, now_ms: int) -> ConsentState:
    """The state after the end of a pause: a grant counts again, the events from then on. Raises NotPaused.

    After a late pause it is a new grant, which starts empty: what was counted may hold events of the pause.
    ``grant_id``: of that new grant. The caller ends a grant whose time was over meanwhile, or whose purpose was
    retired.
    """
    if state is None or not state.paused:
        raise NotPaused("The purpose is not paused: there is nothing to lift.")
    if not state.allowed:
        return state._replace(paused=False, late_pause=False)
    if state.late_pause:
        begun = _begin(state._replace(paused=False), grant_id, now_ms, None)
        return begun._replace(until_ms=state.until_ms)
    since_ms = max(now_ms + START_DELAY_MS, state.since_ms)
    complete_from_ms = state.complete_from_ms if state.complete_from_ms > since_ms else 0
    return state._replace(paused=False, since_ms=since_ms, complete_from_ms=complete_from_ms)


def after_restart(state: ConsentState, start_ms: int, *, counted: bool) -> ConsentState:
    """The state of a grant in force of which events may have been passed by until now: complete from a later time on.

    Unless some were counted or an import's are expected, none before that time counts: answers are exact from their
    start on, and of nothing else.
    """
    if counted or state.complete_from_ms:
        return state._replace(complete_from_ms=max(start_ms, state.since_ms, state.complete_from_ms))
    return state._replace(since_ms=max(start_ms, state.since_ms))


def requires_purge(before: ConsentState | None, after: ConsentState) -> bool:
    """Whether the streams must treat the subject again: values may exist that are no longer allowed, or the store may
    lack values because the grant was paused or its permission was lost.
    """
    if before is None or not before.grant_id:
        return False
    if after.grant_id != before.grant_id or (before.allowed and not after.allowed):
        return True
    return (after.since_ms, after.complete_from_ms) != (before.since_ms, before.complete_from_ms)


def derive_permission(
    epoch: int, sequence: int, states: Mapping[str, ConsentState], retired: Collection[str] = (), token: int = 0
) -> Permission:
    """A subject's permission from the states of its purposes, by name. A retired purpose is denied in any state."""
    return Permission(
        epoch,
        sequence,
        {
            name: PurposePermission(
                allowed=s.allowed and not s.paused and name not in retired,
                grant_id=s.grant_id,
                since_ms=s.since_ms,
                until_ms=s.until_ms,
                paused=s.allowed and s.paused,
                complete_from_ms=s.complete_from_ms,
            )
            for name, s in sorted(states.items())
        },
        token,
    )


def check_date(name: str, date: datetime | None) -> None:
    """Raise WrongDate if a caller's date has no time zone or is outside FIRST_DATE to LAST_DATE."""
    if date and date.tzinfo is None:
        raise WrongDate(f"`{name}` has no time zone.")
    if date and not FIRST_DATE <= date < LAST_DATE:
        raise WrongDate(f"`{name}` must be between the years {FIRST_DATE.year} and {LAST_DATE.year}.")


def _begin(state: ConsentState, grant_id: int, now_ms: int, imported: Import | None) -> ConsentState:
    """A new grant since the imported date, or a second from now; always after the end of the last one."""
    since_ms, complete_from_ms = max(now_ms + START_DELAY_MS, state.ended_ms + 1), 0
    if imported:
        _not_in_future(imported.since_ms, now_ms)
        if imported.since_ms <= state.ended_ms:
            raise WrongDate("A consent can't reach back past a later withdrawal: import in order of time.")
        complete_from_ms = 0 if imported.history_follows else since_ms
        since_ms = imported.since_ms
    return ConsentState(True, grant_id, since_ms, 0, state.ended_ms, complete_from_ms, state.paused)


def _not_in_future(since_ms: int | None, now_ms: int) -> None:
    if since_ms is not None and since_ms > now_ms:
        raise WrongDate("`since` is in the future. Record a decision when it is made.")


def _readable(basis: Basis) -> str:
    return basis.value.replace("_", " ")
