"""The pure function against a naive model: any sequence of decisions, any clock."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from featurestore.consent.errors import ConsentError, WrongBasis, WrongDate
from featurestore.consent.permission_derivation import (
    START_DELAY_MS,
    Basis,
    ConsentState,
    after_consent,
    after_end,
    after_registration,
    after_withdrawal,
    derive_permission,
    requires_purge,
)
from featurestore.permission import Permission, PurposePermission, current

BEGIN_MS = 1_800_000_000_000
CONSENT, INTEREST = Basis.CONSENT, Basis.LEGITIMATE_INTEREST

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["give", "give", "withdraw", "expire", "nothing"]),
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
                state = after_consent(basis, state, sequence, now_ms, since_ms, until_ms)
                naive.decisions.append((kind, now_ms, until_ms))
            elif kind == "withdraw":
                state = after_withdrawal(basis, state, now_ms, since_ms)
                naive.decisions.append((kind, now_ms, 0))
                naive.withdrawals.append(now_ms if since_ms is None else since_ms)
            elif kind == "expire" and state and state.allowed and not state.in_force_at(now_ms):
                state = after_end(state, state.until_ms)
        except WrongDate:
            state = before

        allowed = state is not None and state.in_force_at(now_ms)
        assert allowed == naive.allows(now_ms)
        verdict = current(derive_permission(1, sequence, {"p": state} if state else {}), "p", now_ms)
        assert isinstance(verdict, PurposePermission) == allowed
        if state is not None and allowed:
            was_allowed = before is not None and before.in_force_at(now_ms)
            assert (state.grant_id == before.grant_id) if was_allowed and before else state.grant_id == sequence
            assert all(state.since_ms > withdrawal for withdrawal in naive.withdrawals)
            if was_allowed and before:
                assert state.since_ms == before.since_ms
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
    assert after_consent(CONSENT, first, 8, BEGIN_MS + 60_000, BEGIN_MS - 60_000) == first


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
        after_consent(CONSENT, state, 3, BEGIN_MS + 9000, since_ms=BEGIN_MS + 5000)
    assert after_consent(CONSENT, state, 3, BEGIN_MS + 9000, since_ms=BEGIN_MS + 5001).since_ms == BEGIN_MS + 5001


def test_imported_withdrawal_before_the_grant_in_force_is_refused() -> None:
    state = after_consent(CONSENT, None, 1, BEGIN_MS, since_ms=BEGIN_MS - 1000)
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
        ({"since_ms": BEGIN_MS + 1}, "future"),
        ({"until_ms": BEGIN_MS}, "end before it begins"),
        ({"until_ms": BEGIN_MS + 1000}, "end before it begins"),
        ({"since_ms": BEGIN_MS - 10, "until_ms": BEGIN_MS - 5}, "end before it begins"),
    ],
)
def test_contradicting_dates_are_refused(kwargs: dict, message: str) -> None:
    with pytest.raises(ConsentError, match=message):
        after_consent(CONSENT, None, 1, BEGIN_MS, **kwargs)


def test_end_of_a_legitimate_interest_is_refused() -> None:
    with pytest.raises(WrongBasis, match="until"):
        after_consent(INTEREST, None, 1, BEGIN_MS, until_ms=BEGIN_MS + 10_000)
