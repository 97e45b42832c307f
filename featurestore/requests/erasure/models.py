"""Tables of erasures, of their steps, one for each data location."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Erasure(models.Model):
    """Erasure of a person's data in every location: whole, or of what belongs to some purposes or event sources."""

    personal_data = "None without RAPPORT_CONTACT_KEY: whose data is erased, encrypted, until it is closed. Then times."
    erased_by = "Closing it empties what names the person; the times and counts stay as proof."

    class State(models.TextChoices):
        ERASING = "erasing", _("Erasing")
        ANSWERED = "answered", _("Answered")
        CLOSED = "closed", _("Closed")

    class Cause(models.TextChoices):
        REQUEST = "request", _("Request")
        RESTORE = "restore", _("Erased before a restore")
        ENDED = "ended", _("Ended relationship, by a retention rule")

    request = models.OneToOneField(
        "requests.SubjectRequest", models.PROTECT, null=True, blank=True, related_name="erasure"
    )
    cause = models.CharField(max_length=8, choices=Cause.choices, default=Cause.REQUEST)
    purposes = models.JSONField(default=list, blank=True, help_text="Names of purposes; empty: all.")
    sources = models.JSONField(default=list, blank=True, help_text="Names of event sources; empty: all.")
    encrypted_person = models.TextField(blank=True, editable=False)
    person_digest = models.CharField(
        max_length=64, blank=True, editable=False, db_index=True, help_text="Keyed hash of the subject."
    )
    customer_key = models.BigIntegerField(null=True, blank=True, editable=False, help_text="Of the customer's row.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.ERASING)
    started_by = models.CharField(max_length=150)
    started_at = models.DateTimeField()
    changed_at = models.DateTimeField(help_text="Time of the last change. It never goes back.")
    begun_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when the person is suppressed and denied. It can't be undone."
    )
    changes = models.JSONField(default=list, editable=False, help_text="Sequences of the changes of permission.")
    denied_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when the store, the streams and the journal know."
    )
    answered_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(help_text="When the walk takes it up again.")
    waiting_for = models.CharField(max_length=300, blank=True, help_text="Why no location can be erased yet.")

    class Meta:
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                name="erasure_ends_in_order",
                condition=models.Q(state="erasing", closed_at=None)
                | models.Q(state="answered", answered_at__isnull=False, closed_at=None)
                | models.Q(state="closed", answered_at__isnull=False, closed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="closed_erasure_names_nobody",
                condition=~models.Q(state="closed")
                | models.Q(encrypted_person="", person_digest="", customer_key=None),
            ),
        ]
        indexes = [
            models.Index(name="erasure_due", fields=["next_attempt_at"], condition=~models.Q(state="closed")),
            models.Index(name="erasure_by_customer", fields=["customer_key"]),
        ]
        permissions = [("run_erasure", "Can start an erasure")]

    def __str__(self) -> str:
        return self.request.reference if self.request else f"erasure {self.pk}"


class ErasureStep(models.Model):
    """State of an erasure in one data location. Only the walk changes it."""

    personal_data = "None: counts and times. An error names servers and locations, and no person."
    erased_by = "Kept with its erasure, as proof."

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        ERASED = "erased", _("Erased, not checked yet")
        CHECKED = "checked", _("Erased and checked")
        WAITS = "waits", _("Waits until its stated time")
        UNAVAILABLE = "unavailable", _("Unavailable, tried again")
        HELD = "held", _("Kept by a legal hold")

    erasure = models.ForeignKey(Erasure, models.CASCADE, related_name="steps")
    location = models.CharField(max_length=64, help_text="Name of the data location.")
    position = models.PositiveSmallIntegerField(help_text="Its place in the order of the erasure.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING)
    since = models.DateTimeField(help_text="Since when it is in this state.")
    checking = models.BooleanField(default=False, help_text="It is erased, and looked through for what is left.")
    cursor = models.TextField(blank=True, editable=False, help_text="Where the location continues, encrypted.")
    erased = models.PositiveBigIntegerField(default=0, help_text="Things erased or pseudonymised.")
    kept = models.PositiveBigIntegerField(default=0, help_text="Things that go by their stated time.")
    traces = models.PositiveBigIntegerField(default=0, help_text="Traces that the last check found.")
    looked_at = models.PositiveBigIntegerField(default=0, help_text="Things that the last check looked at.")
    unreadable = models.PositiveBigIntegerField(default=0, help_text="Things that the last check could not read.")
    erased_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    gone_at = models.DateTimeField(
        null=True, blank=True, help_text="Stated time at which no byte is left. It only grows."
    )
    attempts = models.PositiveIntegerField(default=0, help_text="Failed ones in a row.")
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["erasure", "position"]
        constraints = [models.UniqueConstraint(name="one_step_per_location", fields=["erasure", "location"])]

    def __str__(self) -> str:
        return f"{self.location} {self.state}"
