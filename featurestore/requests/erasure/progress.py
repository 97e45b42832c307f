"""Progress of an erasure, location by location, as staff read it: what hinders it comes first, with the reason."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Exists, QuerySet

from featurestore.backoffice.times import time_text
from featurestore.clock import database_now
from featurestore.requests.erasure.certificate import title_of
from featurestore.requests.erasure.ends import REQUESTS, after_the_answer
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.erasure.person import decrypted
from featurestore.requests.errors import Unreadable
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services.erasure import messages_to_come
from featurestore.requests.states import UNVERIFIED, WORKED_ON

State = ErasureStep.State
SHOWN_FIRST = (State.UNAVAILABLE, State.HELD, State.PENDING, State.ERASED, State.WAITS, State.CHECKED)
COUNTED = {
    State.UNAVAILABLE: "{} unavailable",
    State.HELD: "{} kept by a legal hold",
    State.PENDING: "{} to be erased",
    State.ERASED: "{} to be checked",
    State.WAITS: "{} until their stated time",
    State.CHECKED: "{} erased and checked",
}
NAMED = 5
"""References that are named at most."""
AFTER_ANSWER = "Erased once the request is answered."


class LocationProgress(NamedTuple):
    """How far one location is. ``why``: what it waits for, or what failed; "" if nothing is to be said."""

    title: str
    state: str
    state_text: str
    since: datetime
    erased: int
    looked_at: int
    traces: int
    gone_at: datetime | None
    why: str


class Progress(NamedTuple):
    """An erasure in numbers, in one sentence about what comes next, and by location."""

    erasure: Erasure
    counts: list[str]
    next: str
    locations: list[LocationProgress]


def progress_of(erasure: Erasure) -> Progress:
    """The progress of an erasure."""
    steps = sorted(erasure.steps.all(), key=lambda step: (SHOWN_FIRST.index(State(step.state)), step.position))
    counted = Counter(State(step.state) for step in steps)
    later = after_the_answer() if erasure.state == Erasure.State.ERASING else set()
    return Progress(
        erasure,
        [COUNTED[state].format(counted[state]) for state in SHOWN_FIRST if counted[state]],
        _next(erasure, steps, later),
        [_location(step, later) for step in steps],
    )


def _location(step: ErasureStep, later: set[str]) -> LocationProgress:
    why = step.last_error
    if step.state == State.PENDING and step.location in later:
        why = why or AFTER_ANSWER
    return LocationProgress(
        title_of(step.location), step.state, step.get_state_display(), step.since, step.erased, step.looked_at,
        step.traces, step.gone_at if step.state == State.WAITS else None, why,
    )  # fmt: skip


def _kept_requests(erasure: Erasure, steps: Sequence[ErasureStep]) -> QuerySet[SubjectRequest]:
    """The requests that are kept for now, if the erasure waits for some."""
    waits = any(step.location == REQUESTS and step.state == State.PENDING and step.kept for step in steps)
    try:
        subjects = decrypted(erasure).subjects if waits else ()
    except Unreadable:
        subjects = ()
    return SubjectRequest.objects.filter(subject__in=subjects).order_by("reference")


def _named(found: QuerySet[SubjectRequest]) -> str:
    return ", ".join(found.values_list("reference", flat=True)[:NAMED])


def _next(erasure: Erasure, steps: Sequence[ErasureStep], later: set[str]) -> str:
    """What the erasure waits for, and what happens then."""
    if erasure.state == Erasure.State.CLOSED:
        return "It is closed: every location was erased and checked."
    if erasure.waiting_for:
        return erasure.waiting_for
    hindering = [title_of(step.location) for step in steps if step.state == State.UNAVAILABLE]
    if hindering:
        return f"It waits for {', '.join(hindering)}, and tries again by itself."
    if erasure.state == Erasure.State.ERASING:
        busy = [step for step in steps if step.state in (State.PENDING, State.ERASED) and step.location not in later]
        return f"It goes on by itself, with {title_of(busy[0].location)} next." if busy else "It is answered next."
    kept = _kept_requests(erasure, steps)
    if open_ones := _named(kept.filter(state__in=sorted(UNVERIFIED | WORKED_ON))):
        return f"It can be closed once {open_ones} of the same customer is answered, or has ended otherwise."
    if by_hand := _named(kept.filter(Exists(messages_to_come(database_now())))):
        return f"It can be closed once the customer has the answer of {by_hand}: see its messages to be sent by hand."
    failed = next((step for step in steps if step.state == State.PENDING and step.last_error), None)
    if failed:
        return f"It tries {title_of(failed.location)} again by itself: {failed.last_error}."
    held = [title_of(step.location) for step in steps if step.state == State.HELD]
    if held:
        return f"It can be closed once the legal hold of {', '.join(held)} is released."
    last = max((step.gone_at for step in steps if step.state == State.WAITS and step.gone_at), default=None)
    if last:
        return f"It closes by itself after {time_text(last)}, once what goes until then is checked, too."
    return "It closes next."
