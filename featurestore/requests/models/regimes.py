"""Tables of regimes: data protection laws with their rules and holidays. Effective-dated data, not code."""

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from featurestore.requests.deadlines import LONGEST, Calendar, Term, Unit
from featurestore.requests.time_zones import known_time_zone, time_zone


class RequestType(models.TextChoices):
    """What a customer asks for."""

    ACCESS = "access", _("Access")
    PORTABILITY = "portability", _("Portability")
    ERASURE = "erasure", _("Erasure")
    RECTIFICATION = "rectification", _("Rectification")
    RESTRICTION = "restriction", _("Restriction")
    OBJECTION = "objection", _("Objection")
    OPT_OUT = "opt-out", _("Opt-out")


class Regime(models.Model):
    """Data protection law of a region, with the time zone in which its days are counted."""

    personal_data = "None."
    erased_by = "Never: requests refer to it."

    name = models.SlugField(max_length=32, unique=True)
    title = models.CharField(max_length=100)
    time_zone = models.CharField(max_length=64, validators=[known_time_zone], help_text="Europe/Berlin, for example.")
    rolls = models.BooleanField(
        "ends on business days",
        default=False,
        help_text="A due date that is no business day moves to the next one.",
    )
    pausable = models.BooleanField(
        default=False, help_text="The clock stands still while the customer must answer or prove who they are."
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.title

    def calendar(self) -> Calendar:
        days = frozenset(self.holidays.values_list("day", flat=True))
        return Calendar(time_zone(self.time_zone), days, self.rolls)


class Holiday(models.Model):
    """A day that is no business day, by regime."""

    personal_data = "None."
    erased_by = "Never."

    regime = models.ForeignKey(Regime, models.CASCADE, related_name="holidays")
    day = models.DateField()
    name = models.CharField(max_length=100)

    class Meta:
        ordering = ["regime", "day"]
        constraints = [models.UniqueConstraint(name="one_holiday", fields=["regime", "day"])]

    def __str__(self) -> str:
        return f"{self.day} {self.name}"


def _number(**options: Any) -> Any:
    validators = [MinValueValidator(1), MaxValueValidator(LONGEST["days"])]
    return models.PositiveIntegerField(validators=validators, **options)


def _unit(**options: Any) -> Any:
    choices = [(unit.value, unit.value.replace("_", " ")) for unit in Unit]
    return models.CharField(max_length=16, choices=choices, **options)


class RegimeRule(models.Model):
    """Due dates of a regime's requests received from a day on. A change of the law is a new row: none is changed."""

    personal_data = "None."
    erased_by = "Never: it states why a request was due when it was."

    regime = models.ForeignKey(Regime, models.PROTECT, related_name="rules")
    type = models.CharField(
        max_length=16, choices=RequestType.choices, blank=True, help_text="Empty: every type without a rule of its own."
    )
    effective_from = models.DateField(help_text="Day of receipt, in the regime's time zone, from which it applies.")
    acknowledge_within = _number(null=True, blank=True, help_text="Empty: no acknowledgement is required.")
    acknowledge_unit = _unit(default=Unit.BUSINESS_DAYS)
    answer_within = _number()
    answer_unit = _unit(default=Unit.DAYS)
    extend_by = _number(null=True, blank=True, help_text="Empty: it can't be extended.")
    extend_unit = _unit(default=Unit.DAYS)
    source = models.CharField(max_length=200, help_text="Where the law says so.")

    class Meta:
        ordering = ["regime", "type", "-effective_from"]
        constraints = [models.UniqueConstraint(name="one_regime_rule", fields=["regime", "type", "effective_from"])]

    def __str__(self) -> str:
        return f"{self.regime.name} {self.type or 'all'} {self.effective_from}"

    @property
    def acknowledgement(self) -> Term | None:
        return Term(self.acknowledge_within, Unit(self.acknowledge_unit)) if self.acknowledge_within else None

    @property
    def answer(self) -> Term:
        return Term(self.answer_within, Unit(self.answer_unit))

    @property
    def extension(self) -> Term | None:
        return Term(self.extend_by, Unit(self.extend_unit)) if self.extend_by else None
