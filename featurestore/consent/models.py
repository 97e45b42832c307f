"""What was decided, under which notice, and what follows from it.

Sequence order is commit order: every change takes its number from the ChangeSequence's one row, locked until the commit.
"""

from typing import Any, NoReturn

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from featurestore.consent import purpose_states
from featurestore.consent.errors import Immutable

PENDING = models.Q(published_at=None) | models.Q(purge=True, purge_sent_at=None)
"""Changes that are not yet in effect everywhere."""
LONGEST_VALIDITY_DAYS = 36_500


class AppendOnly(models.QuerySet[Any]):
    """Rows that are added and read. The database's own triggers say the same to everybody else."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise Immutable("Consent records are never changed: record a new decision.")

    def delete(self) -> NoReturn:
        raise Immutable("Consent records are only deleted by an erasure.")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise Immutable("Consent records are never changed: record a new decision.")


class Purpose(models.Model):
    """What customers' data may be used for. A credential, a view and a customer's permission must all hold it."""

    personal_data = "None."
    erased_by = "Never: what was asked of customers stays on record."

    class Basis(models.TextChoices):
        CONSENT = purpose_states.Basis.CONSENT, _("Consent")
        CONTRACT = purpose_states.Basis.CONTRACT, _("Contract")
        LEGAL_OBLIGATION = purpose_states.Basis.LEGAL_OBLIGATION, _("Legal obligation")
        LEGITIMATE_INTEREST = purpose_states.Basis.LEGITIMATE_INTEREST, _("Legitimate interest (with objection)")

    name = models.SlugField(max_length=64, unique=True)
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    lawful_basis = models.CharField(max_length=32, choices=Basis.choices)
    active = models.BooleanField(default=True, help_text="A retired purpose denies, and stays retired.")
    validity_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_VALIDITY_DAYS)],
        help_text="A consent ends after so many days.",
    )
    settled = models.BooleanField(
        default=False, editable=False, help_text="Earlier customers have been given, or told the end of, this purpose."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Notice(models.Model):
    """What customers were told when they decided. Never changed after it is published: a new text is a new version."""

    personal_data = "None."
    erased_by = "Never: it is the proof of what was asked."

    reference = models.CharField(max_length=128, unique=True, editable=False, help_text="name/version/language")
    name = models.SlugField(max_length=64)
    version = models.PositiveIntegerField()
    language = models.CharField(max_length=16)
    body = models.TextField()
    purposes = models.ManyToManyField(Purpose, related_name="notices")
    sha256 = models.CharField(max_length=64, editable=False)
    published_at = models.DateTimeField(editable=False)

    class Meta:
        ordering = ["name", "-version", "language"]
        constraints = [models.UniqueConstraint(name="one_notice", fields=["name", "version", "language"])]

    def __str__(self) -> str:
        return self.reference

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise Immutable("A published notice is never changed: publish a new version.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise Immutable("A published notice is never deleted.")


class ChangeSequence(models.Model):
    """The one row that numbers every change. Its lock makes changes one after the other."""

    personal_data = "None."
    erased_by = "Never."

    epoch = models.BigIntegerField(help_text="Raised when a database is restored: puts of an older one are refused.")
    sequence = models.BigIntegerField(default=0)
    at = models.DateTimeField(help_text="Time of the last change. Changes never go back in time.")
    vouched_runs = models.TextField(blank=True, help_text="The run of each node that was vouched for last, one a line.")

    class Meta:
        constraints = [models.CheckConstraint(name="one_change_sequence", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"{self.epoch}/{self.sequence}"


class ConsentRecord(models.Model):
    """One decision, as it was made. Appended, never changed."""

    personal_data = "Who decided what, when, how, under which notice; a reason in free text."
    erased_by = "Erasure deletes a customer's records once the customer is marked as erased."

    class Decision(models.TextChoices):
        GIVEN = purpose_states.Decision.GIVEN, _("Given")
        WITHDRAWN = purpose_states.Decision.WITHDRAWN, _("Withdrawn")
        EXPIRED = purpose_states.Decision.EXPIRED, _("Expired")

    class Method(models.TextChoices):
        WEB = "web", _("Web")
        APP = "app", _("App")
        CHAT = "chat", _("Chat")
        PHONE = "phone", _("Phone")
        EMAIL = "email", _("E-mail")
        SHOP = "shop", _("In the shop")
        API = "api", _("API")
        ADMIN = "admin", _("Administration")
        IMPORT = "import", _("Import")
        SYSTEM = "system", _("System")

    sequence = models.BigIntegerField(unique=True)
    customer = models.ForeignKey("customers.Customer", models.PROTECT, related_name="consent_records")
    purpose = models.ForeignKey(Purpose, models.PROTECT, related_name="records")
    decision = models.CharField(max_length=16, choices=Decision.choices)
    at = models.DateTimeField(help_text="When it was recorded, by the database's clock.")
    since = models.DateTimeField(help_text="From when on it counts.")
    until = models.DateTimeField(null=True, blank=True)
    method = models.CharField(max_length=16, choices=Method.choices)
    notice = models.ForeignKey(Notice, models.PROTECT, null=True, blank=True, related_name="records")
    actor = models.CharField(max_length=150, help_text="The user or client that recorded it.")
    reason = models.CharField(max_length=500, blank=True)

    objects = AppendOnly.as_manager()

    class Meta:
        ordering = ["-sequence"]
        indexes = [models.Index(name="record_by_customer", fields=["customer", "-sequence"]),
                   models.Index(name="record_by_day", fields=["at", "decision"])]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.decision} {self.sequence}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise Immutable("Consent records are never changed: record a new decision.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise Immutable("Consent records are only deleted by an erasure.")


class CurrentPermission(models.Model):
    """The state of one customer and purpose: all that a permission is derived from."""

    personal_data = "What a customer allows now."
    erased_by = "Deleted with the customer."

    customer = models.ForeignKey("customers.Customer", models.CASCADE, related_name="permissions")
    purpose = models.ForeignKey(Purpose, models.PROTECT, related_name="permissions")
    allowed = models.BooleanField()
    grant = models.BigIntegerField(default=0, help_text="Rises with every new grant; 0 when there was none.")
    since = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    sequence = models.BigIntegerField(help_text="The change that made it so.")

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_permission", fields=["customer", "purpose"]),
            models.CheckConstraint(
                name="allowed_has_grant", condition=models.Q(allowed=False) | models.Q(grant__gt=0, since__isnull=False)
            ),
        ]
        indexes = [
            models.Index(name="permission_by_end", fields=["until"], condition=models.Q(allowed=True)),
        ]

    def __str__(self) -> str:
        return f"{'allowed' if self.allowed else 'denied'} {self.grant_id}"


class SubjectVersion(models.Model):
    """The version of a subject's permission: the sequence of its last change. It outlives the customer as a denial."""

    personal_data = "A subject (pseudonym) and a number."
    erased_by = "Erasure raises it, which leaves a versioned denial; a subject without a customer names nobody."

    subject = models.CharField(max_length=32, primary_key=True)
    sequence = models.BigIntegerField(unique=True)

    def __str__(self) -> str:
        return str(self.sequence)


class PermissionChange(models.Model):
    """The outbox: a change on its way to the store and, where it takes something away, to the streams."""

    personal_data = "A subject (pseudonym) and when its permission changed."
    erased_by = "Deleted by retention, 30 days after it took effect."

    sequence = models.BigIntegerField(unique=True)
    subject = models.CharField(max_length=32, db_index=True)
    purge = models.BooleanField(help_text="Values may exist that are no longer allowed: the streams are told.")
    created_at = models.DateTimeField(db_index=True)
    published_at = models.DateTimeField(
        null=True, blank=True, help_text="In effect: put into a store that is vouched for."
    )
    purge_sent_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    claim = models.CharField(max_length=32, blank=True, editable=False, help_text="The relay run that has it in hand.")
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["sequence"]
        indexes = [
            models.Index(name="change_due", fields=["next_attempt_at"], condition=PENDING),
            models.Index(name="change_unpublished", fields=["sequence"], condition=models.Q(published_at=None)),
            models.Index(name="change_claim", fields=["claim"], condition=~models.Q(claim="")),
        ]

    def __str__(self) -> str:
        return str(self.sequence)
