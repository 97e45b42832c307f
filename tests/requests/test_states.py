"""The table of states and actions: what ends, and what is reachable."""

from featurestore.requests.states import ENDED, UNVERIFIED, WORKED_ON, Action, State, after, allowed


def successors(state: State) -> set[State]:
    return {after(state, action) for action in Action if allowed(state, action)}


def test_every_state_is_reached_from_the_receipt_and_leads_to_an_end() -> None:
    reached = {State.RECEIVED}
    while new := {following for state in reached for following in successors(state)} - reached:
        reached |= new
    assert reached == set(State)
    for state in set(State) - ENDED:
        seen = {state}
        while new := {following for one in seen for following in successors(one)} - seen:
            seen |= new
        assert seen & ENDED, state


def test_ended_requests_stay_ended() -> None:
    """A duplicate may proceed, because the request that it was linked to was withdrawn."""
    assert {state: successors(state) for state in ENDED if successors(state)} == {State.DUPLICATE: {State.OPEN}}


def test_no_state_is_both_unverified_and_worked_on() -> None:
    assert not UNVERIFIED & WORKED_ON
    assert set(State) == UNVERIFIED | WORKED_ON | ENDED | {State.ANSWERED}


def test_nothing_is_answered_before_it_is_verified() -> None:
    assert not any(allowed(state, Action.ANSWER) for state in UNVERIFIED | ENDED | {State.WAITING})
