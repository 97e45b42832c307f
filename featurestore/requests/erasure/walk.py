"""Walk of the erasures: what one Celery task does, in slices of at most 20 s, one process at a time.

Each erasure gets a slice of its own in turn, so that a hundred of them advance together, and no other task waits for
them. Whatever was done is stored: a process that is killed anywhere is continued by the next.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic

import structlog
from django.db.models import Exists, OuterRef

from featurestore.clock import database_now, milliseconds, moment
from featurestore.jobs.job_leases import HeldJobLease, hold_job_lease
from featurestore.locations import Person, registry
from featurestore.requests.erasure.beginning import begin, denial_obstacle, journal_obstacle
from featurestore.requests.erasure.ends import after_the_answer, answer, close, is_answerable, is_closable
from featurestore.requests.erasure.holds import held_locations
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.erasure.person import decrypted
from featurestore.requests.erasure.selectors import came_back
from featurestore.requests.erasure.starting import add_missing_steps, start_again
from featurestore.requests.erasure.steps import Overtaken, begin_again, check_again, hold_step, pass_over, run_page
from featurestore.requests.errors import Unreadable
from featurestore.topic_locations import kept_scan

LEASE, LEASE_S = "requests.erasure", 120
SLICE_S, ERASURE_SLICE_S = 20.0, 2.0
AGAIN = timedelta(seconds=5)
TOGETHER = 1_000
"""For so many persons at most a topic is read at once."""
IDLE = timedelta(minutes=5)
"""After so long a hold, or a location that a new version added, is noticed without anybody's doing."""
State = ErasureStep.State
DONE = (State.ERASED, State.CHECKED, State.WAITS)
TO_DO = (State.PENDING, State.ERASED, State.UNAVAILABLE)
log = structlog.get_logger(__name__)


class Slice:
    """Time that a walk may take. ``may_go_on`` is asked after each page; the lease is renewed meanwhile.

    The database is asked for the time once: a page needs it, too, and there are hundreds of them.
    """

    def __init__(self, lease: HeldJobLease, seconds: float, clock: Callable[[], float], now: datetime | None) -> None:
        self.lease, self.clock, self.fixed = lease, clock, now
        self.began_at, self.began_s = now or database_now(), clock()
        self.ends_s, self.renew_s = self.began_s + seconds, self.began_s + LEASE_S / 4

    def time(self, erasure: Erasure) -> datetime:
        """The present, and never before the erasure's last change: a clock set back shortens no stated time."""
        return max(erasure.changed_at, self.fixed or self._present())

    def _present(self) -> datetime:
        return moment(milliseconds(self.began_at + timedelta(seconds=self.clock() - self.began_s)))

    def may_go_on(self) -> bool:
        now_s = self.clock()
        if now_s >= self.renew_s:
            self.renew_s = now_s + LEASE_S / 4
            if not self.lease.renew():
                raise Overtaken
        return now_s < self.ends_s


def walk_due(now: datetime | None = None, clock: Callable[[], float] = monotonic, slice_s: float = SLICE_S) -> int:
    """Advance every erasure that is due, for at most ``slice_s``; how many were advanced."""
    with hold_job_lease(LEASE, LEASE_S, now) as lease:
        if lease is None:
            return 0
        start_again(now)
        with kept_scan(_being_erased()):
            return _walk(Slice(lease, slice_s, clock, now), now)


def _walk(part: Slice, now: datetime | None) -> int:
    advanced, at = 0, part.began_at
    due = Erasure.objects.exclude(state=Erasure.State.CLOSED).filter(next_attempt_at__lte=at)
    for key in list(due.order_by("next_attempt_at", "pk").values_list("pk", flat=True)):
        if not part.may_go_on():
            break
        try:
            advance(Erasure.objects.get(pk=key), part, now)
        except Overtaken:
            log.warning("the walk of erasures stops: another process continues it")
            break
        except Unreadable as error:
            _postpone(key, str(error), at + IDLE)
        advanced += 1
    return advanced


def _being_erased() -> list[Person]:
    """The persons of whom a location is to be erased or looked through now, so that topics are read for all at once."""
    under_way = Erasure.objects.exclude(state=Erasure.State.CLOSED)
    erasing = under_way.filter(Exists(ErasureStep.objects.filter(erasure=OuterRef("pk"), state__in=TO_DO)))
    persons: dict[Person, None] = {}
    for erasure in erasing.order_by("pk")[:TOGETHER]:
        with suppress(Unreadable):  # its own turn tells it
            persons[decrypted(erasure)] = None
    return list(persons)


def advance(erasure: Erasure, part: Slice, now: datetime | None = None) -> None:
    """Advance one erasure as far as it can go now, for at most ERASURE_SLICE_S. Raises Overtaken, Unreadable."""
    person = decrypted(erasure)
    begin(erasure, person, now)
    at = part.time(erasure)
    add_missing_steps(erasure, at)
    obstacle = journal_obstacle(erasure)
    finished = False
    if erasure.state == Erasure.State.ANSWERED and came_back(person):
        _pass_over_the_rest(erasure, person, at)
        finished = True
    elif not obstacle:
        _apply_holds(erasure, person, at)
        finished = _run_steps(erasure, person, part)
        obstacle = denial_obstacle(erasure)
    at = part.time(erasure)
    fields: dict[str, object] = {"changed_at": at, "waiting_for": obstacle}
    if not obstacle and erasure.denied_at is None:
        fields["denied_at"] = at
    Erasure.objects.filter(pk=erasure.pk).update(**fields)
    erasure.refresh_from_db()
    steps = list(erasure.steps.all())
    if finished and not obstacle and is_answerable(steps):
        if erasure.state == Erasure.State.ERASING:
            answer(erasure, at)
            _run_steps(erasure, person, part)
            steps = list(erasure.steps.all())
        if is_closable(steps):
            close(erasure, at)
            return
    _postpone(erasure.pk, obstacle, _next_attempt(steps, at, finished and not obstacle))


def _run_steps(erasure: Erasure, person: Person, part: Slice) -> bool:
    """Erase the locations in order, each after those it depends on; then look through those erased.

    Whether all that is due now was done.
    """
    ends_s = part.clock() + ERASURE_SLICE_S
    steps = {step.location: step for step in erasure.steps.order_by("position", "pk")}
    after = {location.name: location.erased_after for location in registry.in_order()}
    if erasure.state == Erasure.State.ERASING:
        steps = {name: step for name, step in steps.items() if name not in after_the_answer()}
    for checking in (False, True):
        if checking:
            _check_what_precedes_the_last_erasure(steps, part.time(erasure))
        for name, step in steps.items():
            if not checking and _is_held(step, person, part.time(erasure)):
                continue
            blocked = not checking and any(steps[one].state not in DONE for one in after.get(name, ()) if one in steps)
            while not blocked and _is_due(step, checking, at := part.time(erasure)):
                goes_on = run_page(step, person, at)
                if not part.may_go_on() or part.clock() >= ends_s:
                    return False
                if not goes_on:
                    break
    return True


def _pass_over_the_rest(erasure: Erasure, person: Person, at: datetime) -> None:
    """End the steps of a person who came back meanwhile, at their stated times: nothing new is erased."""
    held = held_locations(person.subjects, at)
    for step in erasure.steps.exclude(state=State.CHECKED):
        waits = step.state == State.WAITS and step.gone_at is not None and step.gone_at > at
        if not waits and not (step.state == State.HELD and step.location in held):
            pass_over(step, at)


def _is_due(step: ErasureStep, checking: bool, at: datetime) -> bool:
    """Whether a step is to be erased, or to be looked through, now."""
    if step.state == State.WAITS and step.next_attempt_at and step.next_attempt_at <= at:
        begin_again(step, at)
    is_time = step.next_attempt_at is None or step.next_attempt_at <= at
    return step.checking is checking and step.state in TO_DO and is_time


def _check_what_precedes_the_last_erasure(steps: dict[str, ErasureStep], at: datetime) -> None:
    """Have locations looked through again that were before another one was erased: it may have written to them."""
    last = max((step.erased_at for step in steps.values() if step.erased_at), default=None)
    check_again(
        [
            step
            for step in steps.values()
            if last and step.state == State.CHECKED and step.checked_at and step.checked_at < last
        ],
        at,
    )


def _is_held(step: ErasureStep, person: Person, at: datetime) -> bool:
    """Whether a hold keeps what a step has not erased yet; a hold may be placed while the steps before it run."""
    is_due_again = step.state == State.WAITS and step.next_attempt_at is not None and step.next_attempt_at <= at
    if step.checking or not (is_due_again or step.state in (State.PENDING, State.UNAVAILABLE)):
        return False
    if why := held_locations(person.subjects, at).get(step.location):
        hold_step(step, why, at)
    return bool(why)


def _apply_holds(erasure: Erasure, person: Person, at: datetime) -> None:
    """Let holds keep what is not erased yet, and free what no hold keeps any more."""
    held = held_locations(person.subjects, at)
    for step in erasure.steps.all():
        if step.state == State.HELD and step.location not in held:
            begin_again(step, at)
        elif step.location in held:
            _is_held(step, person, at)


def _next_attempt(steps: list[ErasureStep], at: datetime, finished: bool) -> datetime:
    """When an erasure goes on: at once if it was cut off, else when the first of its steps is due."""
    if not finished:
        return at + AGAIN
    due = [step.next_attempt_at for step in steps if step.next_attempt_at and step.state != State.CHECKED]
    return max(min([*due, at + IDLE]), at + AGAIN)


def _postpone(key: int, why: str, until: datetime) -> None:
    Erasure.objects.filter(pk=key).exclude(state=Erasure.State.CLOSED).update(
        next_attempt_at=until, waiting_for=why[:300]
    )
