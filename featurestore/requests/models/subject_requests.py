"""Tables of requests: what a customer asks for, its timeline, and the times at which its clock stood still.

A request is written under the lock of its row (``services/timeline.py``). What two transactions could do at once all
the same, a constraint decides.
"""

from datetime import timedelta
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from featurestore.requests import states
from featurestore.requests.errors import ImmutableEvent
from featurestore.requests.models.regimes import Regime, RegimeRule, RequestType
from featurestore.subjectkeys.fields import EncryptedTextField

STATES = [(one.value, one.value.replace("_", " ").capitalize()) for one in states.State]


class Language(models.TextChoices):
    """Language of what is sent to the customer."""

    ENGLISH = "en", "English"
    GERMAN = "de", "Deutsch"
    SPANISH = "es", "Español"


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

    reference = models.CharField(
        max_length=14, unique=True, editable=False, help_text="Its name outside, as R-7K2M-9QXD."
    )
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
    details = EncryptedTextField(blank=True, editable=False, help_text="The customer's own words.")
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
    examined_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When it was looked for a contact to send a code to."
    )
    duplicate_of = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="duplicates")
    duplicate_key = models.CharField(max_length=64, blank=True, editable=False)
    ground = models.CharField("legal ground", max_length=24, choices=Ground.choices, blank=True)
    proposed_by = models.CharField(max_length=150, blank=True, editable=False, help_text="Who proposed the refusal.")
    answer = EncryptedTextField(blank=True, editable=False, help_text="What was answered to the customer.")
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
            models.Index(
                name="request_unexamined",
                fields=["received_at"],
                condition=models.Q(examined_at=None, state__in=sorted(states.UNVERIFIED)),
            ),
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
