"""Access records, the read contexts that they share, the processes that wrote them, and gaps."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class ReadContext(models.Model):
    """Client, credential, service, purpose and views of a read. Many records share one, so that a record is small."""

    personal_data = "None: names of clients, services, purposes and views."
    erased_by = "Deleted by retention, when no record refers to it any more."

    digest = models.CharField(max_length=32, unique=True, editable=False, help_text="Hash of the other fields.")
    client = models.CharField(max_length=100, db_index=True)
    credential = models.CharField(max_length=100, help_text="Id of the key or secret; not secret.")
    service = models.CharField(max_length=100, db_index=True)
    purpose = models.CharField(max_length=100, db_index=True)
    given = models.JSONField(default=list, help_text="Views whose values were given.")
    withheld = models.JSONField(default=dict, help_text="Views whose values were withheld, each with the reason.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"{self.client}: {self.service} for {self.purpose}"


class WriterProcess(models.Model):
    """Process that writes to the access log, and up to where its records are stored."""

    personal_data = "None."
    erased_by = "Deleted by retention, after its last record."

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        ENDED = "ended", _("Ended")
        VANISHED = "vanished", _("Vanished")

    name = models.CharField(max_length=16, unique=True)
    last_batch = models.PositiveBigIntegerField(default=0, help_text="Number of its last batch that is stored.")
    next_record = models.PositiveBigIntegerField(default=0, help_text="Number of its next record.")
    complete_until = models.DateTimeField(
        help_text="Reads until then are stored, or part of a gap. By the process's clock."
    )
    last_seen_ms = models.PositiveBigIntegerField(
        help_text="When the control Redis received its last batch or heartbeat, by that Redis' clock."
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)

    class Meta:
        verbose_name_plural = "writer processes"
        indexes = [models.Index(name="process_by_state", fields=["state", "last_seen_ms"])]

    def __str__(self) -> str:
        return self.name


class AccessRecord(models.Model):
    """One read of one customer. ``id`` is made of the process's and the record's number: none is stored twice."""

    personal_data = "A subject (pseudonym), which client read which views of it, for what purpose and when."
    erased_by = (
        "Erasure puts a pseudonym in place of the subject: the record proves who read. Retention deletes it after "
        "RAPPORT_ACCESS_RECORD_DAYS."
    )

    id = models.BigIntegerField(primary_key=True)
    context = models.ForeignKey(ReadContext, on_delete=models.PROTECT, related_name="+")
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
    """Records of a process that are missing: their number, or, where the process vanished, perhaps some."""

    personal_data = "None: numbers and times."
    erased_by = "Deleted by retention, after RAPPORT_ACCESS_RECORD_DAYS."

    class Reason(models.TextChoices):
        LOST = "lost", _("Lost on the way")
        VANISHED = "vanished", _("Process vanished")

    process = models.ForeignKey(WriterProcess, on_delete=models.CASCADE, related_name="gaps")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    first = models.PositiveBigIntegerField(help_text="Number of the first record that is missing.")
    missing = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Number of missing records; empty: unknown."
    )
    since = models.DateTimeField(help_text="The reads were answered after this time,")
    until = models.DateTimeField(help_text="and before this time.")

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
