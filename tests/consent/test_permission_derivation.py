"""The pure function against a naive model: any sequence of decisions, any clock."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from featurestore.consent.errors import ConsentError, NotPaused, WrongBasis, WrongDate
from featurestore.consent.permission_derivation import (
    START_DELAY_MS,
    Basis,
    ConsentState,
    Import,
    after_consent,
    after_end,
    after_lift,
    after_pause,
    after_registration,
    after_restart,
    after_withdrawal,
    derive_permission,
    requires_purge,
)
from featurestore.permission import Denial, Permission, PurposePermission, current, held

BEGIN_MS = 1_800_000_000_000
CONSENT, INTEREST = Basis.CONSENT, Basis.LEGITIMATE_INTEREST

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["give", "give", "withdraw", "expire", "pause", "lift", "restart", "nothing"]),
        st.integers(0, 5_000),  # milliseconds that pass before
        st.one_of(st.none(), st.integers(1, 20_000)),  # a consent's validity
        st.one_of(st.none(), st.none(), st.integers(-20_000, 2_000)),  # an import's date, against now
    ),
    max_size=30,
)


@dataclass
class Naive:
    """Keeps every decision and recomputes everything from all of them, slowly."""

    basis: Basis
    decisions: list[tuple[str, int, int]] = field(default_factory=list)  # kind, when, until
    withdrawals: list[int] = field(default_factory=list)
    paused: bool = False

    def allows(self, now_ms: int) -> bool:
        allowed = self.basis is not CONSENT
        for kind, _, until_ms in self.decisions:
            allowed = kind == "give" and not (until_ms and now_ms >= until_ms)
        return allowed


@for_any(st.sampled_from([CONSENT, INTEREST]), STEPS)
def test_permission_equals_the_naive_model_of_all_decisions(basis: Basis, steps: list) -> None:
    naive, now_ms, sequence = Naive(basis), BEGIN_MS, 1
    state = after_registration(basis, sequence, now_ms)
    grants = [state.grant_id] if state else []
    for kind, pause_ms, validity_ms, since_ms in steps:
        now_ms, sequence, before = now_ms + pause_ms, sequence + 1, state
        until_ms = now_ms + validity_ms if validity_ms and basis is CONSENT else 0
        since_ms = None if since_ms is None else now_ms + since_ms
        try:
            if kind == "give":
                imported = None if since_ms is None else Import(since_ms, history_follows=sequence % 2 == 0)
                state = after_consent(basis, state, sequence, now_ms, imported, until_ms)
                naive.decisions.append((kind, now_ms, until_ms))
            elif kind == "withdraw":
                state = after_withdrawal(basis, state, now_ms, since_ms)
                naive.decisions.append((kind, now_ms, 0))
                naive.withdrawals.append(now_ms if since_ms is None else since_ms)
            elif kind == "expire" and state and state.allowed and not state.in_force_at(now_ms) and not state.paused:
                state = after_end(state, state.until_ms)
            elif kind == "pause":
                state, naive.paused = after_pause(state), True
            elif kind == "lift":
                state = ended_if_over(after_lift(state, sequence, now_ms), state, now_ms)
                naive.paused = False
            elif kind == "restart" and state and state.in_force_at(now_ms) and not state.paused:
                state = after_restart(state, now_ms + START_DELAY_MS, counted=sequence % 3 == 0)
        except (WrongDate, NotPaused):
            state = before

        allowed = state is not None and state.in_force_at(now_ms)
        assert allowed == naive.allows(now_ms)
        permission = derive_permission(1, sequence, {"p": state} if state else {})
        verdict = current(permission, "p", now_ms)
        assert isinstance(verdict, PurposePermission) == (allowed and not naive.paused)
        assert_pause_keeps(kind, before, state, permission, naive.paused)
        if state is not None and allowed:
            was_allowed = before is not None and before.in_force_at(now_ms)
            assert (state.grant_id == before.grant_id) if was_allowed and before else state.grant_id == sequence
            assert all(state.since_ms > withdrawal for withdrawal in naive.withdrawals)
            if was_allowed and before:
                moved = kind in ("lift", "restart")
                assert state.since_ms >= before.since_ms if moved else state.since_ms == before.since_ms
                assert (
                    max(state.since_ms, state.complete_from_ms) >= now_ms + START_DELAY_MS
                    or not moved
                    or state == before
                )
        if state and state.grant_id and (not grants or grants[-1] != state.grant_id):
            assert all(state.grant_id > earlier for earlier in grants)
            grants.append(state.grant_id)
        if (
            state
            and before
            and before.grant_id
            and before.allowed
            and (not state.allowed or state.grant_id != before.grant_id)
        ):
            assert requires_purge(before, state)


def ended_if_over(lifted: ConsentState, before: ConsentState, now_ms: int) -> ConsentState:
    """As the service does: a grant whose time was over while it was paused ends at the lifting."""
    over = lifted.allowed and not before.in_force_at(now_ms)
    return after_end(lifted, before.until_ms) if over else lifted


def assert_pause_keeps(
    kind: str, before: ConsentState | None, after: ConsentState | None, permission: Permission, paused: bool
) -> None:
    """While a purpose is paused, only the customer's own decisions end its grant; nothing else drops its bytes."""
    if after is None:
        return
    kept = permission.purposes["p"]
    assert after.paused == paused
    assert kept.paused == (after.allowed and paused)
    assert not (kept.allowed and kept.paused)
    if paused and before and before.allowed and kind not in ("withdraw", "give"):
        assert (after.allowed, after.grant_id, after.since_ms) == (True, before.grant_id, before.since_ms)
        assert not requires_purge(before, after)


@pytest.mark.parametrize("basis", list(Basis))
def test_every_basis_can_be_paused_and_lifted(basis: Basis) -> None:
    given = after_registration(basis, 4, BEGIN_MS) or after_consent(basis, None, 4, BEGIN_MS)
    paused = after_pause(given)
    assert paused == given._replace(paused=True)
    assert current(derive_permission(1, 5, {"p": paused}), "p", BEGIN_MS) is Denial.PAUSED
    lifted = after_lift(paused, 9, BEGIN_MS + 60_000)
    assert lifted == given._replace(since_ms=BEGIN_MS + 60_000 + START_DELAY_MS)
    assert requires_purge(paused, lifted), "the streams push what the store may have lost meanwhile"


def test_grant_whose_time_is_over_is_kept_while_paused() -> None:
    given = after_consent(CONSENT, None, 7, BEGIN_MS, until_ms=BEGIN_MS + 5000)
    permission = derive_permission(1, 8, {"p": after_pause(given)})
    assert held(permission, "p", BEGIN_MS + 9000) == permission.purposes["p"]
    assert current(permission, "p", BEGIN_MS + 9000) is Denial.PAUSED


def test_withdrawal_while_paused_ends_the_grant_and_keeps_the_pause() -> None:
    paused = after_pause(after_consent(CONSENT, None, 7, BEGIN_MS))
    withdrawn = after_withdrawal(CONSENT, paused, BEGIN_MS + 5000)
    assert (withdrawn.allowed, withdrawn.paused) == (False, True)
    assert requires_purge(paused, withdrawn)
    assert held(derive_permission(1, 8, {"p": withdrawn}), "p", BEGIN_MS + 5000) is None
    again = after_consent(CONSENT, withdrawn, 9, BEGIN_MS + 6000)
    permission = derive_permission(1, 9, {"p": again})
    assert (permission.purposes["p"].paused, permission.purposes["p"].grant_id) == (True, 9)
    assert after_lift(again, 10, BEGIN_MS + 7000).in_force_at(BEGIN_MS + 7000)


def test_lifting_of_a_late_pause_begins_a_new_grant_with_the_same_end() -> None:
    given = after_consent(CONSENT, None, 7, BEGIN_MS, until_ms=BEGIN_MS + 90_000)
    late = after_pause(given)._replace(late_pause=True)
    assert after_pause(late) == late, "a repeated pause"
    lifted = after_lift(late, 9, BEGIN_MS + 60_000)
    assert lifted == ConsentState(True, 9, BEGIN_MS + 60_000 + START_DELAY_MS, BEGIN_MS + 90_000)
    assert requires_purge(late, lifted)


def test_grant_whose_time_is_over_keeps_its_state_and_counts_nothing() -> None:
    permission = derive_permission(1, 8, {"p": after_consent(CONSENT, None, 7, BEGIN_MS, until_ms=BEGIN_MS + 5000)})
    assert held(permission, "p", BEGIN_MS + 4999) == permission.purposes["p"]
    over = held(permission, "p", BEGIN_MS + 5000)
    assert over is not None
    assert (over.allowed, over.paused, over.grant_id) == (False, True, 7)
    assert current(permission, "p", BEGIN_MS + 5000) is Denial.EXPIRED


def test_first_consent_of_a_paused_purpose_stays_paused() -> None:
    given = after_consent(CONSENT, after_pause(None), 9, BEGIN_MS)
    assert current(derive_permission(1, 9, {"p": given}), "p", BEGIN_MS + 9000) is Denial.PAUSED


def test_retired_purpose_keeps_its_pause() -> None:
    paused = after_pause(after_consent(CONSENT, None, 7, BEGIN_MS))
    permission = derive_permission(3, 9, {"old": paused}, retired={"old"})
    assert permission.purposes["old"].paused
    assert not permission.purposes["old"].allowed


@pytest.mark.parametrize("state", [None, ConsentState(True, 7, BEGIN_MS)])
def test_what_is_not_paused_is_not_lifted(state: ConsentState | None) -> None:
    with pytest.raises(NotPaused, match="nothing to lift"):
        after_lift(state, 9, BEGIN_MS)


def test_import_is_complete_from_its_recording_on() -> None:
    since_ms = BEGIN_MS - 60_000
    imported = after_consent(CONSENT, None, 7, BEGIN_MS, Import(since_ms))
    assert (imported.since_ms, imported.complete_from_ms) == (since_ms, BEGIN_MS + START_DELAY_MS)
    assert derive_permission(1, 7, {"p": imported}).purposes["p"].start_ms == BEGIN_MS + START_DELAY_MS
    before_history = after_consent(CONSENT, None, 7, BEGIN_MS, Import(since_ms, history_follows=True))
    assert (before_history.since_ms, before_history.complete_from_ms) == (since_ms, 0)


def test_late_grant_counts_nothing_before_its_later_start() -> None:
    given = after_consent(CONSENT, None, 7, BEGIN_MS)
    assert after_restart(given, BEGIN_MS + 9000, counted=False) == given._replace(since_ms=BEGIN_MS + 9000)


def test_restart_keeps_what_was_counted_and_what_an_import_allows() -> None:
    given = after_consent(CONSENT, None, 7, BEGIN_MS)
    assert after_restart(given, BEGIN_MS + 9000, counted=True) == given._replace(complete_from_ms=BEGIN_MS + 9000)
    imported = after_consent(CONSENT, None, 7, BEGIN_MS, Import(BEGIN_MS - 60_000))
    again = after_restart(imported, BEGIN_MS + 9000, counted=False)
    assert again == imported._replace(complete_from_ms=BEGIN_MS + 9000)


@for_any(st.sampled_from(list(Basis)), st.integers(0, 10_000))
def test_registration_grants_every_basis_but_consent(basis: Basis, pause_ms: int) -> None:
    state = after_registration(basis, 4, BEGIN_MS)
    if basis is CONSENT:
        assert state is None
    else:
        assert state == ConsentState(True, 4, BEGIN_MS + START_DELAY_MS)


def test_grant_starts_a_second_later_and_a_repeat_keeps_the_start() -> None:
    first = after_consent(CONSENT, None, 7, BEGIN_MS)
    again = after_consent(CONSENT, first, 8, BEGIN_MS + 60_000)
    assert first == again == ConsentState(True, 7, BEGIN_MS + 1000)


def test_repeat_with_an_imported_date_keeps_the_start() -> None:
    first = after_consent(CONSENT, None, 7, BEGIN_MS)
    assert after_consent(CONSENT, first, 8, BEGIN_MS + 60_000, Import(BEGIN_MS - 60_000)) == first


def test_repeated_consent_extends_the_end() -> None:
    first = after_consent(CONSENT, None, 7, BEGIN_MS, until_ms=BEGIN_MS + 5000)
    again = after_consent(CONSENT, first, 8, BEGIN_MS + 4000, until_ms=BEGIN_MS + 9000)
    assert (again.grant_id, again.until_ms) == (7, BEGIN_MS + 9000)
    assert not requires_purge(first, again)


def test_consent_after_its_end_is_a_new_grant() -> None:
    first = after_consent(CONSENT, None, 7, BEGIN_MS, until_ms=BEGIN_MS + 5000)
    again = after_consent(CONSENT, first, 8, BEGIN_MS + 5000)
    assert (again.grant_id, again.ended_ms) == (8, BEGIN_MS + 5000)
    assert requires_purge(first, again)


def test_refusal_before_any_consent_is_a_denied_state() -> None:
    refused = after_withdrawal(CONSENT, None, BEGIN_MS)
    assert refused == ConsentState(False, ended_ms=BEGIN_MS)
    assert not requires_purge(None, refused)
    assert derive_permission(3, 9, {"p": refused}) == Permission(3, 9, {"p": PurposePermission(False, 0, 0, 0)})


def test_retired_purpose_is_denied_in_any_state() -> None:
    state = after_consent(CONSENT, None, 7, BEGIN_MS)
    permission = derive_permission(3, 9, {"old": state, "p": state}, retired={"old"})
    assert {name: grant.allowed for name, grant in permission.purposes.items()} == {"old": False, "p": True}


def test_imported_consent_before_a_withdrawal_is_refused() -> None:
    state = after_withdrawal(CONSENT, after_consent(CONSENT, None, 1, BEGIN_MS), BEGIN_MS + 5000)
    with pytest.raises(WrongDate, match="later withdrawal"):
        after_consent(CONSENT, state, 3, BEGIN_MS + 9000, Import(BEGIN_MS + 5000))
    assert after_consent(CONSENT, state, 3, BEGIN_MS + 9000, Import(BEGIN_MS + 5001)).since_ms == BEGIN_MS + 5001


def test_imported_withdrawal_before_the_grant_in_force_is_refused() -> None:
    state = after_consent(CONSENT, None, 1, BEGIN_MS, Import(BEGIN_MS - 1000))
    with pytest.raises(WrongDate, match="later consent"):
        after_withdrawal(CONSENT, state, BEGIN_MS, since_ms=BEGIN_MS - 1001)


def test_withdrawal_before_the_grants_start_ends_it() -> None:
    state = after_withdrawal(CONSENT, after_consent(CONSENT, None, 1, BEGIN_MS), BEGIN_MS + 1)
    again = after_consent(CONSENT, state, 2, BEGIN_MS + 2)
    assert (state.allowed, again.since_ms) == (False, BEGIN_MS + 1002)


@pytest.mark.parametrize("basis", [Basis.CONTRACT, Basis.LEGAL_OBLIGATION])
def test_decision_on_a_contract_or_obligation_is_refused(basis: Basis) -> None:
    state = after_registration(basis, 1, BEGIN_MS)
    with pytest.raises(WrongBasis, match="needs no consent"):
        after_consent(basis, state, 2, BEGIN_MS)
    with pytest.raises(WrongBasis, match="erasure"):
        after_withdrawal(basis, state, BEGIN_MS)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"imported": Import(BEGIN_MS + 1)}, "future"),
        ({"until_ms": BEGIN_MS}, "end before it begins"),
        ({"until_ms": BEGIN_MS + 1000}, "end before it begins"),
        ({"imported": Import(BEGIN_MS - 10), "until_ms": BEGIN_MS - 5}, "end before it begins"),
    ],
)
def test_contradicting_dates_are_refused(kwargs: dict, message: str) -> None:
    with pytest.raises(ConsentError, match=message):
        after_consent(CONSENT, None, 1, BEGIN_MS, **kwargs)


def test_end_of_a_legitimate_interest_is_refused() -> None:
    with pytest.raises(WrongBasis, match="until"):
        after_consent(INTEREST, None, 1, BEGIN_MS, until_ms=BEGIN_MS + 10_000)
