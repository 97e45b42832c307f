"""Due dates of a request: the rule of its regime on the day of its receipt, applied to its row and its pauses."""

from datetime import date, datetime, timedelta

from featurestore.requests.deadlines import Pause, deadline
from featurestore.requests.errors import UnknownRegime
from featurestore.requests.models import Regime, RegimeRule, SubjectRequest
from featurestore.requests.time_zones import time_zone


def regime_named(name: str) -> Regime:
    """Raises UnknownRegime."""
    found = Regime.objects.filter(name=name).first()
    if found is None:
        names = ", ".join(Regime.objects.values_list("name", flat=True))
        raise UnknownRegime(f"No such regime. There are: {names}.")
    return found


def rule_of(regime: Regime, type_: str, day: date) -> RegimeRule:
    """The rule of a request received on a day: one of its type before one of all types. Raises UnknownRegime."""
    rules = RegimeRule.objects.filter(regime=regime, type__in=(type_, ""), effective_from__lte=day)
    found = rules.order_by("-type", "-effective_from").first()
    if found is None:
        raise UnknownRegime(f"{regime.title} has no rule for requests of this type received on {day}. Add one.")
    return found


def due_at(request: SubjectRequest) -> datetime:
    """The moment before which a request must be answered. While its clock is paused: as of the pause's beginning."""
    rule = request.rule
    terms = [rule.answer]
    if request.extended_at and rule.extension:
        terms.append(rule.extension)
    pauses = [Pause(one.began_at, one.ended_at) for one in request.pauses.all()] if request.pk else []
    due = deadline(request.received_at, terms, request.regime.calendar(), pauses)
    return due - request.brought_forward


def acknowledge_by(request: SubjectRequest) -> datetime | None:
    """The moment before which its receipt must be acknowledged; None where the regime demands none."""
    term = request.rule.acknowledgement
    return deadline(request.received_at, [term], request.regime.calendar()) if term else None


def last_day(request: SubjectRequest, due: datetime | None = None) -> date:
    """The last day on which a request may be answered, in its regime's time zone: the day that its customer is told.

    ``due``: of another due date than its present one.
    """
    return ((due or request.due_at) - timedelta.resolution).astimezone(time_zone(request.regime.time_zone)).date()
