"""Tables of subject requests: regimes with their rules and holidays, contacts, requests, timelines, codes.

A request is written under the lock of its row (``services/timeline.py``). What two transactions could do at once all
the same, a constraint decides.
"""

from datetime import timedelta
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from featurestore.requests import states
from featurestore.requests.deadlines import LONGEST, Calendar, Term, Unit
from featurestore.requests.errors import ImmutableEvent
from featurestore.requests.time_zones import time_zone, time_zone_problem

STATES = [(one.value, one.value.replace("_", " ").capitalize()) for one in states.State]


def known_time_zone(name: str) -> None:
    """Validator of a time zone's name. Raises ValidationError."""
    if problem := time_zone_problem(name):
        raise ValidationError(problem)


class RequestType(models.TextChoices):
    """What a customer asks for."""

    ACCESS = "access", _("Access")
    PORTABILITY = "portability", _("Portability")
    ERASURE = "erasure", _("Erasure")
    RECTIFICATION = "rectification", _("Rectification")
    RESTRICTION = "restriction", _("Restriction")
    OBJECTION = "objection", _("Objection")
    OPT_OUT = "opt-out", _("Opt-out")


class Language(models.TextChoices):
    """Language of what is sent to the customer."""

    ENGLISH = "en", "English"
    GERMAN = "de", "Deutsch"
    SPANISH = "es", "Español"


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


class Contact(models.Model):
    """Contact on record of a customer: where codes and answers are sent."""

    personal_data = "Of a customer: an e-mail address, or the shop's own address of a messenger, encrypted."
    erased_by = "Deleted with the customer's other data; without RAPPORT_CONTACT_KEY no address can be read."

    class Kind(models.TextChoices):
        EMAIL = "email", _("E-mail")
        WEBHOOK = "webhook", _("The shop's webhook")

    subject = models.CharField(max_length=32, db_index=True)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    encrypted_address = models.TextField(editable=False)
    digest = models.CharField(max_length=64, editable=False, help_text="Keyed hash of the address.")
    recorded_by = models.CharField(max_length=150, help_text="The user or API client that put it on record.")
    recorded_at = models.DateTimeField()

    class Meta:
        ordering = ["kind", "-recorded_at", "-pk"]
        constraints = [models.UniqueConstraint(name="one_contact", fields=["subject", "kind", "digest"])]

    def __str__(self) -> str:
        return self.get_kind_display()


class SubjectRequest(models.Model):
    """What a customer asks for under a data protection law."""

    personal_data = "Who asked for what, when; the customer's own words and the answer, encrypted; why it was refused."
    erased_by = "Erasure empties customer id, subject and texts; type, times and outcome stay as proof."

    class Channel(models.TextChoices):
        API = "api", _("API")
        STAFF = "staff", _("Staff")
        FORM = "form", _("Form")

    class Verification(models.TextChoices):
        ATTESTED = "attested", _("Attested by the shop")
        CODE = "code", _("By a code")
        STAFF = "staff", _("By staff")

    class Ground(models.TextChoices):
        NOT_IDENTIFIED = "not_identified", _("The customer could not be identified")
        UNFOUNDED = "unfounded", _("Manifestly unfounded")
        EXCESSIVE = "excessive", _("Excessive, in particular repeated")
        RIGHTS_OF_OTHERS = "rights_of_others", _("Rights and freedoms of others")
        LEGAL_OBLIGATION = "legal_obligation", _("A legal obligation requires the data")
        LEGAL_CLAIMS = "legal_claims", _("Needed for legal claims")
        COMPELLING_GROUNDS = "compelling_grounds", _("Compelling legitimate grounds override the objection")
        NOT_APPLICABLE = "not_applicable", _("The law does not give this right here")

    reference = models.CharField(max_length=14, unique=True, editable=False, help_text="Its name outside: R-XXXX-XXXX.")
    type = models.CharField(max_length=16, choices=RequestType.choices)
    regime = models.ForeignKey(Regime, models.PROTECT, related_name="requests")
    rule = models.ForeignKey(RegimeRule, models.PROTECT, related_name="requests", editable=False)
    channel = models.CharField(max_length=8, choices=Channel.choices)
    language = models.CharField(max_length=2, choices=Language.choices, default=Language.ENGLISH)
    customer_id = models.CharField(max_length=256, blank=True)
    subject = models.CharField(max_length=32, blank=True, editable=False, db_index=True)
    purposes = models.JSONField(
        default=list, blank=True, help_text="Names of purposes; empty: all that it can concern."
    )
    encrypted_details = models.TextField(blank=True, editable=False, help_text="The customer's own words.")
    state = models.CharField(max_length=24, choices=STATES, default=states.State.RECEIVED)
    received_at = models.DateTimeField()
    changed_at = models.DateTimeField(help_text="Time of the last event. It never goes back.")
    verified_at = models.DateTimeField(null=True, blank=True)
    verified_by = models.CharField("verified", max_length=8, choices=Verification.choices, blank=True)
    acknowledge_by = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(
        help_text="The moment before which it must be answered; while paused, as it was then."
    )
    paused_at = models.DateTimeField(null=True, blank=True, help_text="Since when the clock stands still.")
    extended_at = models.DateTimeField(null=True, blank=True)
    brought_forward = models.DurationField(
        default=timedelta, help_text="So much earlier it is due, because a duplicate that is answered with it was."
    )
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="subject_requests"
    )
    duplicate_of = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="duplicates")
    duplicate_key = models.CharField(max_length=64, blank=True, editable=False)
    ground = models.CharField("legal ground", max_length=24, choices=Ground.choices, blank=True)
    proposed_by = models.CharField(max_length=150, blank=True, editable=False, help_text="Who proposed the refusal.")
    encrypted_answer = models.TextField(blank=True, editable=False, help_text="What was answered to the customer.")
    answered_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=64, blank=True, editable=False)
    request_digest = models.CharField(max_length=64, blank=True, editable=False)
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["due_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                name="one_request_per_key", fields=["idempotency_key"], condition=~models.Q(idempotency_key="")
            ),
            # Of two duplicates that are verified at once, one proceeds: the other transaction fails, and links.
            models.UniqueConstraint(
                name="one_request_proceeds",
                fields=["duplicate_key"],
                condition=models.Q(state__in=sorted(states.WORKED_ON)) & ~models.Q(duplicate_key=""),
            ),
            models.CheckConstraint(
                name="refused_with_ground", condition=~models.Q(state=states.State.REFUSED) | ~models.Q(ground="")
            ),
            models.CheckConstraint(
                name="duplicate_is_linked",
                condition=~models.Q(state=states.State.DUPLICATE) | models.Q(duplicate_of__isnull=False),
            ),
            models.CheckConstraint(
                name="verified_has_proof",
                condition=~models.Q(state__in=sorted(states.WORKED_ON))
                | (models.Q(verified_at__isnull=False) & ~models.Q(verified_by="")),
            ),
        ]
        indexes = [
            models.Index(name="request_by_due", fields=["state", "due_at"]),
            models.Index(name="request_by_duplicate", fields=["duplicate_key", "state"]),
            models.Index(name="request_unverified", fields=["subject", "received_at"]),
        ]
        permissions = [("approve_subjectrequest", "Can approve a refusal")]

    def __str__(self) -> str:
        return self.reference


class ClockPause(models.Model):
    """A time during which a request's clock stood still. The present one is the request's ``paused_at``."""

    personal_data = "When a request waited for the customer."
    erased_by = "Deleted with the request."

    request = models.ForeignKey(SubjectRequest, models.CASCADE, related_name="pauses")
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField()

    class Meta:
        ordering = ["began_at", "pk"]
        constraints = [
            models.UniqueConstraint(name="one_pause_at_a_time", fields=["request", "began_at", "ended_at"]),
            models.CheckConstraint(name="pause_ends_after", condition=models.Q(ended_at__gte=models.F("began_at"))),
        ]

    def __str__(self) -> str:
        return f"{self.began_at:%Y-%m-%d %H:%M} to {self.ended_at:%Y-%m-%d %H:%M}"


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Query set that refuses updates. Triggers refuse them in the database (migration 0003)."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise ImmutableEvent("Events of a request are never changed.")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImmutableEvent("Events of a request are never changed.")


class RequestEvent(models.Model):
    """What happened to a request: appended, never changed."""

    personal_data = "Names of staff; a reason in free text, which names no customer."
    erased_by = "Kept with the request as proof; deleted with it."

    class Role(models.TextChoices):
        STAFF = "staff", _("Staff")
        CLIENT = "client", _("API client")
        CUSTOMER = "customer", _("Customer")
        SYSTEM = "system", _("System")

    request = models.ForeignKey(SubjectRequest, models.CASCADE, related_name="events")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(help_text="By the database's clock, and never before the event before.")
    kind = models.CharField(max_length=24)
    role = models.CharField(max_length=8, choices=Role.choices)
    actor = models.CharField(max_length=150, blank=True, help_text="The user or API client. Of customers: empty.")
    state = models.CharField(max_length=24, help_text="The request's state after it.")
    due_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=1000, blank=True)
    detail = models.JSONField(default=dict, blank=True)

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        ordering = ["request", "number"]
        constraints = [models.UniqueConstraint(name="one_event_number", fields=["request", "number"])]

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ImmutableEvent("Events of a request are never changed.")
        super().save(*args, **kwargs)


class VerificationCode(models.Model):
    """Code that proves that the customer reads a contact on record. Only its hash is stored."""

    personal_data = "When a code was sent to a contact of a customer."
    erased_by = "Deleted by retention, a day after it expires."

    request = models.ForeignKey(SubjectRequest, models.CASCADE, related_name="codes")
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="codes")
    digest = models.CharField(max_length=64, editable=False, help_text="Keyed hash of the code.")
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    current = models.BooleanField(default=True, help_text="Neither used nor replaced by a later one.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(name="one_current_code", fields=["request"], condition=models.Q(current=True))
        ]

    def __str__(self) -> str:
        return f"{self.attempts} attempts"
