"""Results of the events of one write: what became of each, in the order of the request."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec import UNSET, UnsetType

from featurestore.api.errors import Problem


class EventStatus(StrEnum):
    """What became of an event."""

    ACCEPTED = "accepted"  # Kafka has acknowledged it
    DUPLICATE = "duplicate"  # so it has, and an event of the same id before, which alone counts
    NOT_COUNTED = "not_counted"  # so it has, but no purpose of the key was permitted: no feature counts it
    REFUSED = "refused"  # it was not sent, and would be refused again


NO_PERMISSION = "no_permission"


class EventResult(msgspec.Struct, frozen=True):
    """What became of one event.

    ``reason``: of `refused` the end of a problem's `type` (`malformed`, `event-time`), of `not_counted`
    `no_permission`. ``detail``: of `refused`, what to change.
    """

    status: EventStatus
    reason: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET


class EventsAnswer(msgspec.Struct):
    """The number of events that Kafka has acknowledged: all but the refused. Results are in the request's order."""

    accepted: int
    refused: int
    results: list[EventResult]


ACCEPTED, DUPLICATE = EventResult(EventStatus.ACCEPTED), EventResult(EventStatus.DUPLICATE)
NOT_COUNTED = EventResult(EventStatus.NOT_COUNTED, NO_PERMISSION)


def refused(problem: Problem) -> EventResult:
    """The result of an event that has a problem."""
    return EventResult(EventStatus.REFUSED, problem.name, problem.detail)


def by_status(results: Sequence[EventResult]) -> Counter[str]:
    """The number of results of each status."""
    return Counter(result.status.value for result in results)
