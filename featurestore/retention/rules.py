"""Retention rules: which are in force, and which are refused because Kafka, a setting or a definition decides."""

from datetime import date, datetime
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append
from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent.models import Purpose
from featurestore.customers.models import Customer
from featurestore.definitions import FeatureView
from featurestore.installed_catalog import catalog
from featurestore.retention.errors import WrongRule
from featurestore.retention.models import RetentionRule

Kind = RetentionRule.Kind
APPLIED = (Kind.READS, Kind.CUSTOMERS)
"""Kinds that runs apply. The others state what Kafka and definitions do by themselves."""
STAYS: dict[str, str] = {
    Kind.READS: "What a legal hold keeps.",
    Kind.CUSTOMERS: "What an erasure leaves: its certificate and the suppression; what a legal hold keeps; customers "
    "of whom it can't be told whether they had an event.",
    Kind.EVENTS: "What was counted: the values, until the view's window, a withdrawal or an erasure ends them.",
    Kind.VALUES: "Older tiles, which no answer counts, stay in the stream workers' tables until the customer's next "
    "event, a withdrawal or an erasure. A rule for customers without activity ends that.",
}
"""What a rule of each kind does not delete, for the pages."""
FEWEST_CUSTOMER_DAYS, MOST_DAYS = 180, 36_500
LONGEST_BASIS = 300
DAY_S = 86_400
VIEW_WINDOW = "The view's longest window, for answers. Older tiles stay in the tables until the customer's next event"


class Automatic(NamedTuple):
    """What goes by itself: a kind of data and its name, the days for which it is kept (None: until consent or customer
    goes), and by what."""

    kind: str
    name: str
    days: float | None
    by: str


def automatic() -> list[Automatic]:
    """What Kafka, definitions and settings delete by themselves, whatever the rules are."""
    conf, registry = settings(), catalog().registry
    events = [Automatic(Kind.EVENTS, name, conf.event_retention_days, "Kafka, RAPPORT_EVENT_RETENTION_DAYS")
              for name in sorted(registry.sources)]  # fmt: skip
    values = [Automatic(Kind.VALUES, name, window_days(view), VIEW_WINDOW)
              for name, view in sorted(registry.views.items())]  # fmt: skip
    names = Purpose.objects.order_by("name").values_list("name", flat=True)
    reads = [Automatic(Kind.READS, name, conf.access_record_days, "RAPPORT_ACCESS_RECORD_DAYS") for name in names]
    return [*events, *values, *reads]


def regions() -> list[Automatic]:
    """The regions that have customers, who go by no other thing than a rule."""
    names = Customer.objects.exclude(region="").order_by("region").values_list("region", flat=True).distinct()
    return [Automatic(Kind.CUSTOMERS, name, None, "") for name in names]


def without_data(day: date) -> list[RetentionRule]:
    """The rules in force on a day whose region, event source or view is gone: they can be ended, nothing else."""
    known = {(one.kind, one.name) for one in [*regions(), *automatic()]}
    return [rule for rule in in_force(day) if (rule.kind, rule.name) not in known]


def window_days(view: FeatureView) -> float | None:
    """The days of a view's longest window; None: a lifetime."""
    window_s = view.resolutions[-1].window_s
    return None if window_s is None else window_s / DAY_S


def add_rule(
    kind: str, name: str, days: int | None, effective_from: date, basis: str, *, actor: str, now: datetime | None = None
) -> RetentionRule:
    """Add a rule; without days, end the one in force. Raises WrongRule."""
    at = now or database_now()
    if kind not in Kind.values:
        raise WrongRule(f"Unknown kind: one of {', '.join(Kind.values)}.")
    if not basis.strip() or len(basis) > LONGEST_BASIS:
        raise WrongRule(f"State the law, contract or policy that says so, in at most {LONGEST_BASIS} characters.")
    if effective_from < at.date():
        raise WrongRule("A rule applies from today at the earliest: what was deleted before can't be changed.")
    if days is not None or not _is_in_force(kind, name, effective_from):
        _check_name(kind, name)
    if days is not None:
        _check_days(kind, name, days)
    try:
        with transaction.atomic():
            rule = RetentionRule.objects.create(
                kind=kind, name=name, days=days, effective_from=effective_from, basis=basis.strip(),
                created_by=actor[:150], created_at=at,
            )  # fmt: skip
            facts = {"kind": kind, "name": name, "days": days, "effective_from": effective_from.isoformat()}
            append(Entry("retention_rule.added", at, facts, actor))
            return rule
    except IntegrityError:
        raise WrongRule("There is a rule for this from that day: choose another day.") from None


def _is_in_force(kind: str, name: str, day: date) -> bool:
    return in_force(day).filter(kind=kind, name=name).exists()


def _check_name(kind: str, name: str) -> None:
    registry = catalog().registry
    is_known = {
        Kind.READS: lambda: Purpose.objects.filter(name=name).exists(),
        Kind.CUSTOMERS: lambda: Customer.objects.filter(region=name).exists(),
        Kind.EVENTS: lambda: name in registry.sources,
        Kind.VALUES: lambda: name in registry.views,
    }[Kind(kind)]
    if not name or not is_known():
        raise WrongRule("There is no purpose, region, event source or view of this name.")


def _check_days(kind: str, name: str, days: int) -> None:
    """Raises WrongRule if something else deletes earlier or later."""
    if not 1 <= days <= MOST_DAYS:
        raise WrongRule(f"State a number of days, 1 to {MOST_DAYS:,}.")
    conf = settings()
    if kind == Kind.READS and days > conf.access_record_days:
        raise WrongRule(
            f"Access records are deleted after {conf.access_record_days} days (RAPPORT_ACCESS_RECORD_DAYS): a longer "
            "rule could not be kept. Raise the setting first."
        )
    if kind == Kind.CUSTOMERS and days < FEWEST_CUSTOMER_DAYS:
        raise WrongRule(f"An erasure can't be undone: at least {FEWEST_CUSTOMER_DAYS} days without activity.")
    if kind == Kind.EVENTS and days != conf.event_retention_days:
        raise WrongRule(
            f"Kafka keeps the events of every source for {conf.event_retention_days:g} days, no longer and no shorter "
            "(RAPPORT_EVENT_RETENTION_DAYS, then `python -m streams topics apply`). A rule can only state the same."
        )
    if kind == Kind.VALUES and days != (window := window_days(catalog().registry.views[name])):
        told = "for the whole lifetime of a consent" if window is None else f"for {window:g} days, its longest window"
        raise WrongRule(f"This view counts events {told}: change its definition. A rule can only state the same.")


def in_force(day: date) -> QuerySet[RetentionRule]:
    """The rules that apply on a day: of each kind and name the last one that began, unless it ended the rule. One that
    was a mistake can be ended from the day on which it begins.
    """
    begun = RetentionRule.objects.filter(effective_from__lte=day).order_by("kind", "name", "-effective_from", "-pk")
    last: dict[tuple[str, str], RetentionRule] = {}
    for rule in begun:
        last.setdefault((rule.kind, rule.name), rule)
    return RetentionRule.objects.filter(pk__in=[rule.pk for rule in last.values() if rule.days is not None])
