"""The one way to change a request: its row is locked, the action checked, the event appended, the row saved.

Time never goes back within a request: if the clock was set back, an event has the time of the one before.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max, Q

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append
from featurestore.clock import database_now, milliseconds
from featurestore.requests.actors import Actor
from featurestore.requests.due_dates import due_at
from featurestore.requests.errors import NoReason, NotPossible, UnknownRequest, WrongRequest
from featurestore.requests.models import ClockPause, RequestEvent, SubjectRequest
from featurestore.requests.states import ENDED, Action, State, after, allowed

MAX_REASON_LENGTH = 1000
CHANGEABLE = sorted(frozenset(State) - ENDED | {State.DUPLICATE})


class Change:
    """A request that this transaction has locked, the present, and the time of the change: never before the last."""

    def __init__(self, request: SubjectRequest, at: datetime) -> None:
        self.request, self.now, self.at = request, at, max(request.changed_at, at)

    def add(self, action: Action, actor: Actor, reason: str = "", **detail: Any) -> None:
        """Take an action: the state after it, and its event. Raises NotPossible."""
        request = self.request
        check_allowed(request, action)
        request.state = after(State(request.state), action)
        request.changed_at = self.at
        if request.state in ENDED:
            request.ended_at = self.at
        append_event(request, action, actor, reason, detail)

    def pause(self) -> None:
        """Stop the clock, if the regime allows it and it is not paused."""
        if self.request.regime.pausable and self.request.paused_at is None:
            self.request.paused_at = self.at

    def resume(self) -> None:
        """Let a paused clock run on: the request is due later by exactly the time of the pause."""
        request = self.request
        if request.paused_at is not None:
            ClockPause.objects.create(request=request, began_at=request.paused_at, ended_at=self.at)
            request.paused_at = None
            request.due_at = due_at(request)


def begin_work(request: SubjectRequest) -> None:
    """Let a request that is open be in progress: somebody, or the program, carries out what it asks for."""
    if request.state == State.OPEN:
        request.state = State.IN_PROGRESS


def append_event(request: SubjectRequest, kind: str, actor: Actor, reason: str = "", detail: Any = None) -> None:
    """Append an event to the timeline of a request whose row is locked, or new, and save the request."""
    check_text(reason)
    request.save()
    last = request.events.aggregate(last=Max("number"))["last"] or 0
    _log(request, last + 1, kind, actor, detail or {})
    RequestEvent.objects.create(
        request=request,
        number=last + 1,
        at=request.changed_at,
        kind=kind,
        role=actor.role,
        actor=actor.name[:150],
        state=request.state,
        due_at=request.due_at,
        reason=reason,
        detail=detail or {},
    )


def _log(request: SubjectRequest, number: int, kind: str, actor: Actor, detail: Any) -> None:
    """Append the event to the audit log: by its reference, without customer, reason or text."""
    facts = {
        "due_at_ms": milliseconds(request.due_at) if request.due_at else None,
        "export": detail.get("export"),
        "number": number,
        "reference": request.reference,
        "regime": request.regime.name,
        "state": str(request.state),
        "type": str(request.type),
    }
    append(Entry(f"request.{kind}", request.changed_at, facts, f"{actor.role} {actor.name}".strip()))


@contextmanager
def change_of(reference: str, now: datetime | None = None, duplicate_key: str = "") -> Iterator[Change]:
    """Lock a request for a change, with its duplicates, and those that it will have under another key.

    Raises UnknownRequest.
    """
    with transaction.atomic():
        found = SubjectRequest.objects.filter(reference=reference).values_list("pk", "duplicate_key").first()
        if found is None:
            raise UnknownRequest("No such request.")
        lock_duplicates({found[1], duplicate_key}, found[0])
        yield Change(SubjectRequest.objects.get(pk=found[0]), now or database_now())


def lock_duplicates(keys: Iterable[str], pk: int | None = None) -> None:
    """Lock the requests that have one of these duplicate keys and may change, and the one with this primary key.

    Everybody locks them by primary key, and before writing: so no two transactions wait for one another.
    """
    of_keys = Q(duplicate_key__in=[key for key in keys if key], state__in=CHANGEABLE)
    list(SubjectRequest.objects.filter(of_keys | Q(pk=pk)).order_by("pk").select_for_update().values_list("pk"))


def check_allowed(request: SubjectRequest, action: Action) -> None:
    """Raise NotPossible unless the request's state allows an action."""
    if not allowed(State(request.state), action):
        done = action.value.replace("_", " ")
        raise NotPossible(f"The request is {request.get_state_display().lower()}: it can't be {done} now.")


def check_text(text: str, longest: int = MAX_REASON_LENGTH) -> None:
    """Raise WrongRequest for a text that can't be stored."""
    if "\0" in text or len(text) > longest:
        raise WrongRequest(f"A text has a null character, or more than {longest} characters.")


def required(text: str, what: str) -> str:
    """A text without white space at its ends. Raises NoReason if nothing is left."""
    if not text.strip():
        raise NoReason(f"State {what}.")
    return text.strip()
