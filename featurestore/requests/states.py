"""States of a subject request, and the actions that change them, as one table. Pure."""

from enum import StrEnum


class State(StrEnum):
    """State of a request. The values are stored."""

    RECEIVED = "received"
    AWAITING_VERIFICATION = "awaiting_verification"  # a code was sent
    OPEN = "open"  # verified, and nobody works on it
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"  # for the customer's answer
    TO_APPROVE = "to_approve"  # a refusal waits for a second person
    ANSWERED = "answered"
    CLOSED = "closed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    DUPLICATE = "duplicate"  # another request of the same customer proceeds for it
    LAPSED = "lapsed"  # never verified


UNVERIFIED = frozenset({State.RECEIVED, State.AWAITING_VERIFICATION})
WORKED_ON = frozenset({State.OPEN, State.IN_PROGRESS, State.WAITING, State.TO_APPROVE})
"""Verified requests whose answer is due."""
ENDED = frozenset({State.CLOSED, State.REFUSED, State.WITHDRAWN, State.DUPLICATE, State.LAPSED})
"""States in which nothing is due any more. An answered request waits to be closed."""


class Action(StrEnum):
    """What is done with a request. The values are stored, as kinds of the timeline's events."""

    RECEIVE = "received"
    ASK_FOR_CODE = "code_requested"
    VERIFY = "verified"
    LINK = "linked"
    PROCEED = "proceeds"  # a duplicate, whose other request was withdrawn
    ASSIGN = "assigned"
    WAIT = "waiting"
    CONTINUE = "continued"
    EXTEND = "extended"
    PROPOSE_REFUSAL = "refusal_proposed"
    RETURN = "returned"
    REFUSE = "refused"
    ANSWER = "answered"
    CLOSE = "closed"
    WITHDRAW = "withdrawn"
    LAPSE = "lapsed"


ERASING_EVENT = "erasing"
"""Kind of the timeline's event that an erasure began. What was erased can't be brought back, so that the request can
neither be withdrawn nor refused any more."""
UNCHANGED = None
_TABLE: dict[Action, dict[State, State | None]] = {
    Action.ASK_FOR_CODE: dict.fromkeys(UNVERIFIED, State.AWAITING_VERIFICATION),
    Action.VERIFY: dict.fromkeys(UNVERIFIED, State.OPEN),
    Action.LINK: dict.fromkeys(UNVERIFIED | {State.OPEN}, State.DUPLICATE),
    Action.PROCEED: {State.DUPLICATE: State.OPEN},
    Action.ASSIGN: dict.fromkeys(WORKED_ON, UNCHANGED) | {State.OPEN: State.IN_PROGRESS},
    Action.WAIT: dict.fromkeys((State.OPEN, State.IN_PROGRESS), State.WAITING),
    Action.CONTINUE: {State.WAITING: State.IN_PROGRESS},
    Action.EXTEND: dict.fromkeys(WORKED_ON, UNCHANGED),
    Action.PROPOSE_REFUSAL: dict.fromkeys((State.OPEN, State.IN_PROGRESS), State.TO_APPROVE),
    Action.RETURN: {State.TO_APPROVE: State.IN_PROGRESS},
    Action.REFUSE: dict.fromkeys(UNVERIFIED | WORKED_ON, State.REFUSED),
    Action.ANSWER: dict.fromkeys((State.OPEN, State.IN_PROGRESS), State.ANSWERED),
    Action.CLOSE: {State.ANSWERED: State.CLOSED},
    Action.WITHDRAW: dict.fromkeys(UNVERIFIED | WORKED_ON, State.WITHDRAWN),
    Action.LAPSE: dict.fromkeys(UNVERIFIED, State.LAPSED),
}


def allowed(state: State, action: Action) -> bool:
    """Whether the action may be taken in the state.

    >>> allowed(State.OPEN, Action.ANSWER), allowed(State.CLOSED, Action.ANSWER)
    (True, False)
    """
    return state in _TABLE.get(action, {})


def after(state: State, action: Action) -> State:
    """The state after an action that is allowed. Raises KeyError for any other.

    >>> after(State.OPEN, Action.ASSIGN), after(State.WAITING, Action.ASSIGN)
    (<State.IN_PROGRESS: 'in_progress'>, <State.WAITING: 'waiting'>)
    """
    return _TABLE[action][state] or state
