"""Models of dead letters: where Kafka stores each quarantined record, why it was quarantined, and what was decided.

The records themselves stay in Kafka.
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class DeadLetter(models.Model):
    """One record that the streams quarantined, identified by the topic, partition and offset at which it was read."""

    personal_data = "A subject (pseudonym), size and SHA-256 of a record's value; names of staff who decided."
    erased_by = "Erasure deletes a subject's dead letters; retention deletes those closed 90 days ago."

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        SENDING = "sending", _("Being replayed")
        REPLAYED = "replayed", _("Replayed")
        DISCARDED = "discarded", _("Discarded")
        EXPIRED = "expired", _("Expired")

    generation = models.PositiveBigIntegerField(help_text="Of the topic of dead letters that stores it.")
    topic = models.CharField(max_length=249)
    partition = models.PositiveIntegerField(help_text="Of the record, and of its copy in the topic of dead letters.")
    offset = models.PositiveBigIntegerField()
    reason = models.CharField(max_length=32)
    detail = models.CharField(max_length=500, blank=True)
    recorded_at = models.DateTimeField("recorded", help_text="Kafka's timestamp of the record.")
    dead_letter_offset = models.PositiveBigIntegerField(help_text="Of its copy in the topic of dead letters.")
    quarantined_at = models.DateTimeField("quarantined")
    subject = models.CharField(max_length=32, blank=True, help_text="The record's key, if it is one.")
    size = models.PositiveIntegerField(help_text="Bytes of its value.")
    sha256 = models.CharField("SHA-256", max_length=64, help_text="Of its value: replays of the same bytes share it.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=150, blank=True)
    decided_reason = models.CharField(max_length=500, blank=True)
    sent_topic = models.CharField(max_length=249, blank=True)
    sent_partition = models.PositiveIntegerField(null=True, blank=True)
    sent_offset = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Offset of the replay; until it is confirmed, the first offset it can have."
    )

    class Meta:
        ordering = ["-quarantined_at", "-pk"]
        constraints = [
            models.UniqueConstraint(name="one_dead_letter", fields=["topic", "partition", "offset"]),
            models.CheckConstraint(
                name="decision_has_actor", condition=Q(state__in=["open", "expired"]) | ~Q(decided_by="")
            ),
            models.CheckConstraint(name="discard_has_reason", condition=~Q(state="discarded") | ~Q(decided_reason="")),
            models.CheckConstraint(
                name="replay_has_offset",
                condition=~Q(state__in=["sending", "replayed"]) | Q(sent_offset__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="dead_letter_by_state", fields=["state", "topic", "reason", "quarantined_at"]),
            models.Index(name="dead_letter_by_age", fields=["quarantined_at"]),
            models.Index(name="dead_letter_by_bytes", fields=["sha256"]),
            models.Index(name="dead_letter_by_subject", fields=["subject"]),
        ]

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class DeadLetterPosition(models.Model):
    """Next offset to import from a partition of dead letters, the topic's id, and the time of the last import."""

    personal_data = "None."
    erased_by = "Never: one a partition and generation."

    generation = models.PositiveBigIntegerField()
    partition = models.PositiveIntegerField()
    next_offset = models.PositiveBigIntegerField()
    topic_id = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="Of a topic that is made anew it is another one.",
    )
    read_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(name="one_position", fields=["generation", "partition"])]

    def __str__(self) -> str:
        return f"{self.generation}/{self.partition}"
