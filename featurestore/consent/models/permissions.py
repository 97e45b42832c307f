"""Tables of permissions: what each customer allows now, what was allowed before, and the version of each subject."""

from django.db import models

from featurestore.consent.models.append_only import AppendOnlyQuerySet
from featurestore.consent.models.purposes import Purpose


class CurrentPermission(models.Model):
    """Current state of one customer and purpose. A subject's permission is derived from these rows alone."""

    personal_data = "Which purposes a customer allows now."
    erased_by = "Erasure deletes them, and the denial is published in the same step."

    customer = models.ForeignKey("customers.Customer", models.CASCADE, related_name="permissions")
    purpose = models.ForeignKey(Purpose, models.PROTECT, related_name="permissions")
    allowed = models.BooleanField(help_text="So decided. A paused purpose is denied all the same.")
    paused = models.BooleanField(default=False, help_text="Nothing is counted or answered until the pause is lifted.")
    late_pause = models.BooleanField(
        default=False, help_text="The store got the pause late: when it is lifted, a new grant begins."
    )
    grant_id = models.BigIntegerField(default=0, help_text="Raised by each new grant; 0: never granted.")
    since = models.DateTimeField(null=True, blank=True)
    complete_from = models.DateTimeField(
        null=True, blank=True, help_text="If later than since: events before it may have been denied."
    )
    until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    sequence = models.BigIntegerField(help_text="The last change of this row.")
    start_sequence = models.BigIntegerField(default=0, help_text="The change that set since, complete_from or paused.")
    newest_decision = models.BigIntegerField(
        null=True, blank=True, help_text="The record of the newest decision, by the time at which it was made."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_permission", fields=["customer", "purpose"]),
            models.CheckConstraint(
                name="allowed_has_grant",
                condition=models.Q(allowed=False) | models.Q(grant_id__gt=0, since__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="permission_by_end", fields=["until"], condition=models.Q(allowed=True)),
            models.Index(name="permission_paused", fields=["customer"], condition=models.Q(paused=True)),
        ]

    def __str__(self) -> str:
        return f"{'allowed' if self.allowed else 'denied'} {self.grant_id}"


class PermissionState(models.Model):
    """State of a customer's purpose from one change to the next. Appended, never changed.

    The rows recorded up to a time say what was allowed then, and the newest row equals the current permission. A
    purpose that needs no consent has a row without a consent record.
    """

    personal_data = "What a customer allowed, and when."
    erased_by = "The customer's row has a pseudonym after an erasure; the states stay: they prove what was allowed."

    customer = models.ForeignKey("customers.Customer", models.PROTECT, related_name="+")
    purpose = models.ForeignKey(Purpose, models.PROTECT, related_name="+")
    sequence = models.BigIntegerField(help_text="The change that brought the state.")
    at = models.DateTimeField(help_text="When that was recorded, by the database's clock.")
    allowed = models.BooleanField()
    paused = models.BooleanField()
    grant_id = models.BigIntegerField()
    since = models.DateTimeField(null=True, blank=True)
    complete_from = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_state_a_change", fields=["customer", "purpose", "sequence"]),
        ]

    def __str__(self) -> str:
        return f"{'allowed' if self.allowed else 'denied'} {self.sequence}"


class SubjectVersion(models.Model):
    """Version of a subject's permission: the sequence of its last change. It outlives the customer, as a denial."""

    personal_data = "A subject (pseudonym) and a number."
    erased_by = (
        "Erasure raises it, which leaves a versioned denial; erasure deletes that, too, after "
        "RAPPORT_JOURNAL_RETENTION_DAYS."
    )

    subject = models.CharField(max_length=32, primary_key=True)
    sequence = models.BigIntegerField(unique=True)

    def __str__(self) -> str:
        return str(self.sequence)
