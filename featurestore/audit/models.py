"""Tables of consent audits and their findings."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from featurestore.audit import comparison


class AuditRun(models.Model):
    """One audit: every subject of the database in the store, and every subject of the store in the database."""

    personal_data = "None: counts."
    erased_by = "Deleted by retention, 90 days later, with its findings."

    started_at = models.DateTimeField(db_index=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    subjects = models.PositiveBigIntegerField(default=0, help_text="Subjects of the database compared with the store.")
    store_subjects = models.PositiveBigIntegerField(
        default=0, help_text="Subjects of the store looked up in the database."
    )
    found = models.PositiveBigIntegerField(default=0)
    repaired = models.PositiveBigIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True, help_text="Why the audit ended early.")

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M:%S}"


class Finding(models.Model):
    """Difference between the store and the database that no change in the outbox explains."""

    personal_data = "A subject (pseudonym) and how its stored permission differed."
    erased_by = "Erasure deletes a subject's findings; retention deletes them with their audit."

    class Kind(models.TextChoices):
        ALLOWS_MORE = comparison.DifferenceKind.ALLOWS_MORE, _("The store allows more")
        DENIES_MORE = comparison.DifferenceKind.DENIES_MORE, _("The store denies more")
        MISSING = comparison.DifferenceKind.MISSING, _("Missing in the store")
        VALUES_MISSING = comparison.DifferenceKind.VALUES_MISSING, _("Values missing in the store")
        UNKNOWN = comparison.DifferenceKind.UNKNOWN, _("Unknown subject in the store")
        STALE_FENCE = comparison.DifferenceKind.STALE_FENCE, _("An older version in the store")
        AHEAD = comparison.DifferenceKind.AHEAD, _("A version in the store that the database never issued")

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        REPAIRED = "repaired", _("Repaired")
        DISMISSED = "dismissed", _("Dismissed")

    run = models.ForeignKey(AuditRun, models.CASCADE, related_name="findings")
    kind = models.CharField(max_length=32, choices=Kind.choices)
    subject = models.CharField(max_length=32, db_index=True)
    purpose = models.CharField(max_length=64, blank=True)
    detail = models.CharField(max_length=300)
    found_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="Time of the last audit that found it.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    repaired_at = models.DateTimeField(null=True, blank=True)
    dismissed_by = models.CharField(max_length=150, blank=True)
    dismissed_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-found_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                name="one_open_finding", fields=["kind", "subject", "purpose"], condition=models.Q(state="open")
            ),
            models.CheckConstraint(
                name="dismissed_with_reason",
                condition=~models.Q(state="dismissed") | (~models.Q(dismissed_by="") & ~models.Q(dismissed_reason="")),
            ),
        ]
        indexes = [models.Index(name="finding_by_state", fields=["state", "-found_at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.purpose}".strip()
