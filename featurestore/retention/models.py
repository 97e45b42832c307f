"""Tables of retention."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class EvictionRun(models.Model):
    """One run over every subject: the values of idle ones leave the store, or, in a dry run, are counted."""

    personal_data = "None of customers: counts, and the name of a staff member who started it."
    erased_by = "Deleted by retention, 90 days later."

    started_at = models.DateTimeField(db_index=True)
    started_by = models.CharField(max_length=150, blank=True, help_text="Empty: it was due.")
    dry_run = models.BooleanField(default=False, help_text="Nothing is evicted: what would be is counted.")
    idle_days = models.PositiveIntegerField(
        help_text="A customer without an event or a read for so many days before the start is idle."
    )
    next_part = models.PositiveIntegerField(
        default=0, editable=False, help_text="Part of the subjects with which it continues."
    )
    finished_at = models.DateTimeField(null=True, blank=True)
    subjects = models.PositiveBigIntegerField(default=0, help_text="Subjects that were looked at.")
    evicted = models.PositiveBigIntegerField(default=0)
    freed_bytes = models.PositiveBigIntegerField(default=0, help_text="Bytes of the values, without Redis's overhead.")
    kept_read = models.PositiveBigIntegerField(
        "kept, read", default=0, help_text="Subjects without an event that stay because they were read."
    )
    error = models.CharField(max_length=300, blank=True, help_text="Why it waits; it is tried again by itself.")

    class Meta:
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["dry_run"], name="one_unfinished_eviction_run", condition=models.Q(finished_at=None)
            )
        ]
        verbose_name = _("eviction run")

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M:%S}"


class RetentionRule(models.Model):
    """How long some data are kept, from a day on. A change is a new row: none is changed."""

    personal_data = "None of customers: the name of a staff member."
    erased_by = "Never: it states why something was kept or deleted when it was."

    class Kind(models.TextChoices):
        READS = "reads", _("Access records of a purpose")
        CUSTOMERS = "customers", _("Customers of a region without activity")
        EVENTS = "events", _("Events of a source")
        VALUES = "values", _("Values of a view")

    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = models.CharField(max_length=64, help_text="Of the purpose, region, event source or view.")
    days = models.PositiveIntegerField(null=True, help_text="Days for which they are kept; empty: the rule has ended.")
    effective_from = models.DateField(help_text="Day (UTC) from which it applies, today at the earliest.")
    basis = models.CharField(max_length=300, help_text="The law, contract or policy that says so.")
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["kind", "name", "-effective_from"]
        constraints = [
            models.UniqueConstraint(
                name="one_retention_rule",
                fields=["kind", "name", "effective_from"],
                condition=models.Q(days__isnull=False),
            ),
            models.UniqueConstraint(
                name="one_end_of_a_rule",
                fields=["kind", "name", "effective_from"],
                condition=models.Q(days__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.effective_from}"


class RetentionRun(models.Model):
    """One application of a rule: what went, or in a dry run would go, and what a legal hold kept."""

    personal_data = "None of customers: counts, and the name of a staff member who started it."
    erased_by = "Deleted by retention, two years later."

    rule = models.ForeignKey(RetentionRule, models.PROTECT, related_name="runs")
    started_at = models.DateTimeField(db_index=True)
    started_by = models.CharField(max_length=150, blank=True, help_text="Empty: it was due.")
    dry_run = models.BooleanField(default=False, help_text="Nothing goes: what would is counted.")
    before = models.DateTimeField(help_text="What is older goes.")
    next_key = models.BigIntegerField(default=0, editable=False, help_text="Row after which it continues.")
    finished_at = models.DateTimeField(null=True, blank=True)
    gone = models.PositiveBigIntegerField(
        default=0, help_text="Rows deleted, or erasures started; in a dry run, what would be."
    )
    held = models.PositiveBigIntegerField("kept by a hold", default=0, help_text="What a legal hold kept.")
    undecided = models.PositiveBigIntegerField(
        default=0, help_text="Customers who stay because it can't be told whether they had an event."
    )
    error = models.CharField(max_length=300, blank=True, help_text="Why it waits; it is tried again by itself.")

    class Meta:
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "dry_run"], name="one_unfinished_retention_run", condition=models.Q(finished_at=None)
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.started_at:%Y-%m-%d %H:%M:%S}"
