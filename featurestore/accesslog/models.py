"""Access records: who read which customer, and which of the records are missing."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class AccessKind(models.Model):
    """Who asked for what, and what they got: the part of a read that many share, so that a record is small."""

    personal_data = "None: names of clients, services, purposes and views."
    erased_by = "Deleted by retention, when no record is of it any more."

    digest = models.CharField(max_length=32, unique=True, editable=False, help_text="Of all the rest.")
    client = models.CharField(max_length=100, db_index=True)
    credential = models.CharField(max_length=100, help_text="The readable part of a key; no secret.")
    service = models.CharField(max_length=100, db_index=True)
    purpose = models.CharField(max_length=100, db_index=True)
    given = models.JSONField(default=list, help_text="Views whose values were answered.")
    withheld = models.JSONField(default=dict, help_text="Views that were not, each with the reason.")
    made_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"{self.client}: {self.service} for {self.purpose}"


class AccessProcess(models.Model):
    """A process that answers reads, and how far its records are here."""

    personal_data = "None."
    erased_by = "Deleted by retention, with its last record."

    class State(models.TextChoices):
        AT_WORK = "at_work", _("At work")
        ENDED = "ended", _("Ended")
        VANISHED = "vanished", _("Vanished")

    name = models.CharField(max_length=16, unique=True)
    batch = models.PositiveBigIntegerField(default=0, help_text="Number of its last batch that is written.")
    next_record = models.PositiveBigIntegerField(default=0, help_text="Number of the record that comes next.")
    complete_to = models.DateTimeField(help_text="What it read until then is here, or in a gap. By its own clock.")
    heard_ms = models.PositiveBigIntegerField(
        help_text="When the control Redis last heard of it, by that Redis' clock."
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.AT_WORK)

    class Meta:
        indexes = [models.Index(name="process_by_state", fields=["state", "heard_ms"])]

    def __str__(self) -> str:
        return self.name


class AccessRecord(models.Model):
    """One customer, read once. ``id`` is made of the process's and the record's number: it can't be there twice."""

    personal_data = "A subject (pseudonym), who read which views of it, for what purpose and when."
    erased_by = "Erasure deletes a subject's records; retention deletes them after RAPPORT_ACCESS_RECORD_DAYS."

    id = models.BigIntegerField(primary_key=True)
    kind = models.ForeignKey(AccessKind, on_delete=models.PROTECT, related_name="+")
    subject = models.CharField(max_length=32)
    at = models.DateTimeField("read at")
    request_id = models.CharField(max_length=64)

    class Meta:
        indexes = [
            models.Index(name="access_by_subject", fields=["subject", "at"]),
            models.Index(name="access_by_time", fields=["at"]),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} UTC"


class AccessGap(models.Model):
    """Records that a process made and that are not here: how many, or, where it vanished, perhaps some."""

    personal_data = "None: numbers and times."
    erased_by = "Deleted by retention, after RAPPORT_ACCESS_RECORD_DAYS."

    class Reason(models.TextChoices):
        LOST = "lost", _("Lost on their way")
        VANISHED = "vanished", _("Process vanished")

    process = models.ForeignKey(AccessProcess, on_delete=models.CASCADE, related_name="gaps")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    first = models.PositiveBigIntegerField(help_text="Number of the first record that is missing.")
    missing = models.PositiveBigIntegerField(null=True, blank=True, help_text="How many; empty where nobody knows.")
    since = models.DateTimeField(help_text="They were answered after this,")
    until = models.DateTimeField(help_text="and before that.")

    class Meta:
        ordering = ["-until", "-pk"]
        indexes = [models.Index(name="gap_by_time", fields=["until"])]
        constraints = [
            models.CheckConstraint(
                name="lost_are_counted", condition=models.Q(reason="vanished") | models.Q(missing__gt=0)
            )
        ]

    def __str__(self) -> str:
        return f"{self.process} from record {self.first}"
