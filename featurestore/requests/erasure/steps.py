"""Step of an erasure: one data location, erased page by page, then looked through for what is left.

After each page the row is saved by a conditional update: a process that was cut off continues at the last page, and of
two processes that believe to hold the lease, one stops. A kill between a page and its row repeats the page, which
changes nothing, and may lose its count.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import product
from typing import Any

import structlog

from featurestore.consent.outbox.relay import retry_delay
from featurestore.locations import AT_ONCE, PAGE, Location, LocationError, LocationUnavailable, Person, registry
from featurestore.requests.contact_box import decrypt, encrypt
from featurestore.requests.erasure.models import ErasureStep

State = ErasureStep.State
TRACES = "{} traces were found after the erasure: it is erased again"
KEPT = "{} things could not be erased yet: it is tried again"
CAME_BACK = "not looked through: the customer came back before, and what is stored now may be new"
UNREADABLE = "{} things could not be read: it is not proven that nothing is left"
UNEXPECTED = "the location failed with {}: the log of the Celery worker says more"
log = structlog.get_logger(__name__)


class Overtaken(Exception):
    """Another process changed the step meanwhile: this one stops."""


def run_page(step: ErasureStep, person: Person, at: datetime) -> bool:
    """Erase or look through one page; whether the step could go on at once. Raises Overtaken."""
    try:
        location = registry[step.location]
        return _check_page(step, location, person, at) if step.checking else _erase_page(step, location, person, at)
    except (LocationUnavailable, LocationError) as error:
        _fail(step, str(error), at)
    except Overtaken:
        raise
    except Exception as error:  # of one location: the others go on, and the officer sees it
        log.exception("location failed", location=step.location, step=step.pk)
        _fail(step, UNEXPECTED.format(type(error).__name__), at)
    return False


def _erase_page(step: ErasureStep, location: Location, person: Person, at: datetime) -> bool:
    page = location.erase(person, decrypt(step.cursor) or None, PAGE)
    kept = page.kept + (step.kept if step.cursor else 0)
    counts = {"erased": step.erased + page.erased, "kept": kept}
    if page.cursor is not None:
        _save(step, at, cursor=encrypt(page.cursor), state=State.PENDING, attempts=0, last_error="", **counts)
        return True
    erased_at, within = step.erased_at or at, location.gone_within()
    gone_at = _later(step.gone_at, erased_at + within)
    fields: dict[str, Any] = {"cursor": "", "erased_at": erased_at, "gone_at": gone_at, **counts}
    if within > AT_ONCE and at < gone_at:
        _save(step, at, state=State.WAITS, next_attempt_at=gone_at, attempts=0, last_error="", **fields)
    else:
        fields |= {"traces": 0, "looked_at": 0, "unreadable": 0}
        _save(step, at, state=State.ERASED, checking=True, next_attempt_at=None, **fields)
    return False


def _check_page(step: ErasureStep, location: Location, person: Person, at: datetime) -> bool:
    page = location.prove(person, decrypt(step.cursor) or None, PAGE)
    counts = {
        "traces": step.traces + page.traces,
        "looked_at": step.looked_at + page.checked,
        "unreadable": step.unreadable + page.unreadable,
    }
    if page.cursor is not None:
        _save(step, at, cursor=encrypt(page.cursor), last_error="", **counts)
        return True
    if not counts["traces"] and not counts["unreadable"]:
        _save(
            step, at, state=State.CHECKED, cursor="", checked_at=at, next_attempt_at=None, attempts=0, last_error="",
            **counts,
        )  # fmt: skip
        return False
    why = _why_not_proven(step, counts)
    log.warning("erasure not proven yet", location=step.location, step=step.pk, why=why)
    _save(
        step, at, state=State.PENDING, checking=False, cursor="", attempts=step.attempts + 1, last_error=why,
        next_attempt_at=at + retry_delay(step.attempts + 1), **counts,
    )  # fmt: skip
    return False


def _why_not_proven(step: ErasureStep, counts: Mapping[str, int]) -> str:
    if not counts["traces"]:
        return UNREADABLE.format(counts["unreadable"])
    return KEPT.format(step.kept) if step.kept else TRACES.format(counts["traces"])


def check_again(steps: Sequence[ErasureStep], at: datetime) -> None:
    """Have erased locations looked through again, since another was erased after them. Raises Overtaken."""
    fields: dict[str, Any] = {"traces": 0, "looked_at": 0, "state": State.ERASED, "checking": True, "cursor": ""}
    fields |= {"unreadable": 0, "next_attempt_at": None, "since": at}
    checked = ErasureStep.objects.filter(pk__in=[step.pk for step in steps], state=State.CHECKED)
    if steps and checked.update(**fields) != len(steps):
        raise Overtaken
    for step, (name, value) in product(steps, fields.items()):
        setattr(step, name, value)


def pass_over(step: ErasureStep, at: datetime) -> None:
    """End a step whose stated time has come, of a person who came back before: what is there now can be new."""
    _save(step, at, state=State.CHECKED, checked_at=at, next_attempt_at=None, last_error=CAME_BACK)


def hold_step(step: ErasureStep, why: str, at: datetime) -> None:
    """Note that a legal hold keeps the location's rows from now on."""
    _save(step, at, state=State.HELD, next_attempt_at=None, last_error=why[:300])


def begin_again(step: ErasureStep, at: datetime) -> None:
    """Have a step erased from its beginning: its hold has ended, or its stated time has come."""
    _save(step, at, state=State.PENDING, checking=False, cursor="", next_attempt_at=None, last_error="")


def _fail(step: ErasureStep, why: str, at: datetime) -> None:
    """Note that a location is unavailable. What it found so far, and its place, stay."""
    delay, attempts = retry_delay(step.attempts + 1), step.attempts + 1
    log.warning("location unavailable", location=step.location, step=step.pk, attempts=attempts)
    _save(step, at, state=State.UNAVAILABLE, attempts=attempts, next_attempt_at=at + delay, last_error=why[:300])


def _save(step: ErasureStep, at: datetime, **fields: Any) -> None:
    """Change a step, unless another process has changed it since it was read. Raises Overtaken."""
    if fields.get("state", step.state) != step.state:
        fields["since"] = at
    unchanged = ErasureStep.objects.filter(
        pk=step.pk, state=step.state, checking=step.checking, cursor=step.cursor, attempts=step.attempts,
        erased=step.erased, looked_at=step.looked_at,
    )  # fmt: skip
    if not unchanged.update(**fields):
        raise Overtaken
    for name, value in fields.items():
        setattr(step, name, value)


def _later(stated: datetime | None, computed: datetime) -> datetime:
    """The later of two times: a stated time never comes earlier, whatever a setting or the clock says now."""
    return max(stated, computed) if stated else computed
