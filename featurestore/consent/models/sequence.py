"""Tables with one row each: the change sequence, the lease of the store verifier, and the journal's checkpoint.

The order of sequence numbers is the order of commits: each change takes its number from the one row of ChangeSequence,
which stays locked until the commit.
"""

from django.db import models


class ChangeSequence(models.Model):
    """The one row that numbers every permission change. Its lock puts changes in one order."""

    personal_data = "None."
    erased_by = "Never."

    epoch = models.BigIntegerField(help_text="Database epoch: raised after a restore. The store refuses an older one.")
    sequence = models.BigIntegerField(default=0)
    at = models.DateTimeField(help_text="Time of the last change. It never goes back.")
    latched_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when every read is denied, because this database has lost commits."
    )
    latch_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(name="one_change_sequence", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"{self.epoch}/{self.sequence}"


class VerifierLease(models.Model):
    """The one row that says which store verifier may vouch, and for which store runs it was vouched last."""

    personal_data = "None."
    erased_by = "Never."

    holder = models.CharField(max_length=32, blank=True, help_text="The process that holds it, or held it last.")
    number = models.BigIntegerField(default=0, help_text="Raised by each new holder. The store refuses an older one.")
    released = models.BooleanField(default=True, help_text="The holder has ended and vouches no more.")
    renewed_at = models.DateTimeField()
    expiry_ms = models.PositiveIntegerField(default=0, help_text="Time until the holder's vouch keys expire.")
    predecessors_until = models.DateTimeField(
        help_text="Until then earlier holders may vouch for a run that the holder has not reached."
    )
    vouched_runs = models.TextField(blank=True, help_text="The last Redis run vouched for, of each node, one per line.")
    last_claims = models.JSONField(
        default=dict, help_text="Of each: the store incarnation and how often its vouch key was renewed."
    )

    class Meta:
        constraints = [models.CheckConstraint(name="one_verifier_lease", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"{self.number} {self.holder}"


class JournalCheckpoint(models.Model):
    """The one row that says up to which offset the consent journal was compared with this database.

    A database that was restored from a backup has the offset of the backup's time, so that what the journal holds since
    is read again, and compared. A take-over moves it to the journal's end.
    """

    personal_data = "None."
    erased_by = "Never."

    topic = models.CharField(max_length=249)
    topic_id = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="Of a topic that is made anew it is another one.",
    )
    offset = models.BigIntegerField(default=0)
    last_token = models.BigIntegerField(
        default=0, db_default=0, help_text="The token of the last compared record; 0: unknown."
    )
    compared_at = models.DateTimeField(null=True, help_text="Every record that the journal had by then is in here.")
    database_ahead_ms = models.IntegerField(
        null=True, help_text="How far this database's clock was ahead of the brokers' (below 0: behind), at worst."
    )

    class Meta:
        constraints = [models.CheckConstraint(name="one_journal_checkpoint", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"{self.topic}/{self.offset}"
